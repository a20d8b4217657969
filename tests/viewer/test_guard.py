"""Who may ask: this machine under its own names, or whoever has the token."""

from email.message import Message

import pytest

from coverslip.viewer.guard import Guard, is_loopback, names_loopback, new_token


def headers(**given):
    """Return headers of a request."""
    message = Message()
    for name, value in given.items():
        message[name.replace("_", "-")] = value
    return message


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "localhost", "::1"])
def test_loopback_is_this_machine_alone(host):
    """Addresses and names that nobody else reaches."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "box.lan", ""])
def test_everything_else_is_not(host):
    """What cannot be told to be loopback needs the token."""
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1:80", True), ("LocalHost", True), ("[::1]:80", True), ("[::1]", True)]
    + [("box.lan:80", False), ("192.168.1.5", False), ("", False)],
)
def test_the_address_asked_for_is_loopback_or_not(host, own):
    """With a port or without."""
    assert names_loopback(headers(Host=host)) == own


@pytest.mark.parametrize("host", ["127.0.0.1:80", "localhost:80", "LocalHost", "[::1]"])
def test_own_names_pass(host):
    """With the port, or without it where it is the default one."""
    assert Guard(80).refusal(headers(Host=host), None) is None


@pytest.mark.parametrize(
    "host", ["evil.example:80", "127.0.0.1:81", "127.0.0.1.evil.example:80", ""]
)
def test_a_foreign_name_is_refused(host):
    """A site that points its name at this machine gets nothing."""
    assert "not this machine's own" in str(Guard(80).refusal(headers(Host=host), None))


def test_another_sites_page_gets_nothing_but_a_link():
    """Its pictures and scripts are refused; a link on it may be followed."""
    told = {"Host": "localhost:80", "Sec_Fetch_Site": "cross-site"}
    guard = Guard(80)
    assert guard.refusal(headers(**told, Sec_Fetch_Mode="no-cors"), None)
    assert guard.refusal(headers(**told, Sec_Fetch_Mode="navigate"), None) is None


def test_the_token_passes_by_address_or_cookie_only_whole():
    """Under any name; without it, or with another, nothing passes."""
    token = new_token()
    guard = Guard(80, token, "0.0.0.0")
    anywhere = {"Host": "box.lan:80"}
    assert guard.refusal(headers(**anywhere), token) is None
    kept = headers(**anywhere, Cookie=f"other=1; coverslip_80={token}")
    assert guard.refusal(kept, None) is None
    for wrong in (None, "", token[:-1], token + "x", "ä"):
        assert guard.refusal(headers(**anywhere), wrong)
    for cookie in (f"coverslip_81={token}", "coverslip_80=", "coverslip_80", '="'):
        assert guard.refusal(headers(**anywhere, Cookie=cookie), None)


def test_tokens_differ():
    """Each start has its own."""
    assert len({new_token() for _ in range(20)}) == 20
    assert len(new_token()) >= 32
