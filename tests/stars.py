"""A picture whose places can be told to a fraction of a pixel."""

import numpy as np

DARK, BRIGHT, SIDE, SPACING = 40, 230, 15, 97


def starry(width, height):
    """Return a dark image with bright squares on a grid, and their centres (x, y)."""
    image = np.full((height, width, 3), DARK, np.uint8)
    xs, ys = (
        [*range(20, side - 2 * SPACING, SPACING), side - SIDE - 12]
        for side in (width, height)
    )
    corners = np.array([(x, y) for y in ys for x in xs])
    for x, y in corners:
        image[y : y + SIDE, x : x + SIDE] = BRIGHT
    return image, corners + SIDE / 2


def centroid(image):
    """Return the (x, y) of the light in an image, edges counted from its corner."""
    light = np.clip(image[..., 1].astype(float) - DARK - 25, 0, None)
    ys, xs = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(xs * light).sum(), (ys * light).sum()]) / light.sum()
