"""A study in the browser: slides, heatmaps and outlines, served on this machine only.

pyramid    a slide as square tiles, each level half the one above
cabinet    the slides that are open
evidence   what a study says of its slides, ready for the page
assets     the page's own files, and OpenSeadragon's
guard      who may ask
routes     which address gives what
server     HTTP
viewing    the verb
page/      what runs in the browser
"""
