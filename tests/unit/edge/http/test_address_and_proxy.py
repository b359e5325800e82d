"""Addresses, and the proxy that the environment names, as everywhere."""

import pytest

from edge.http.address import Address, NotAnAddressError
from edge.http.proxy import HttpProxy, environment_proxy


@pytest.mark.parametrize(
    ("url", "is_tls", "host", "port", "authority"),
    [
        ("https://anju.example.com", True, "anju.example.com", 443, "anju.example.com"),
        ("https://anju.example.com:443/", True, "anju.example.com", 443, "anju.example.com"),
        ("http://127.0.0.1:8080", False, "127.0.0.1", 8080, "127.0.0.1:8080"),
        ("http://[::1]:8080", False, "::1", 8080, "[::1]:8080"),
        ("https://[2001:db8::1]", True, "2001:db8::1", 443, "[2001:db8::1]"),
        ("https://münchen.example", True, "xn--mnchen-3ya.example", 443, "xn--mnchen-3ya.example"),
    ],
)
def test_an_address_has_its_parts(url, is_tls, host, port, authority):
    address = Address.parse(url)
    assert (address.is_tls, address.host, address.port, address.authority) == (is_tls, host, port, authority)


@pytest.mark.parametrize(
    "url",
    ["", "no address", "anju.example.com", "ftp://x", "https://", "https://:80", "http://x:99999", "http://x:0",
     "http://x:port", "https://user:secret@x", "https://x?a", "https://x#a", "https://a b", "https://x\r\nEvil: 1",
     "https://x/\u00e4", "http://[::1", f"http://{'x' * 64}ä.example"],
)  # fmt: skip
def test_what_is_no_address_is_refused_and_no_secret_is_said(url):
    with pytest.raises(NotAnAddressError) as told:
        Address.parse(url)
    assert "secret" not in str(told.value)


HTTPS, HTTP = Address.parse("https://anju.example.com"), Address.parse("http://anju.example.com:8080")


@pytest.mark.parametrize(
    ("environment", "address", "proxy"),
    [
        ({}, HTTPS, None),
        ({"HTTPS_PROXY": "http://p:3128"}, HTTPS, "p:3128"),
        ({"HTTPS_PROXY": "http://p:3128"}, HTTP, None),
        ({"HTTP_PROXY": "http://p:3128/"}, HTTP, "p:3128"),
        ({"https_proxy": "http://small", "HTTPS_PROXY": "http://large"}, HTTPS, "small:80"),
        ({"https_proxy": "p:3128"}, HTTPS, "p:3128"),
        ({"https_proxy": "http://p", "NO_PROXY": "*"}, HTTPS, None),
        ({"https_proxy": "http://p", "NO_PROXY": "other, anju.example.com"}, HTTPS, None),
        ({"https_proxy": "http://p", "no_proxy": ".example.com"}, HTTPS, None),
        ({"https_proxy": "http://p", "no_proxy": "EXAMPLE.com"}, HTTPS, None),
        ({"https_proxy": "http://p", "no_proxy": "le.com,"}, HTTPS, "p:80"),
        ({"http_proxy": "http://p", "no_proxy": "anju.example.com:8080"}, HTTP, None),
        ({"http_proxy": "http://p", "no_proxy": "anju.example.com:80"}, HTTP, "p:80"),
    ],
)
def test_the_environment_names_a_proxy_and_exceptions(environment, address, proxy):
    found = environment_proxy(address, environment | {"NETRC": "/nowhere"})
    assert (found and found.with_port) == proxy


def test_a_login_comes_from_the_address_or_from_netrc(tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine p login box password s3cret\n")
    netrc.chmod(0o600)
    from_netrc = environment_proxy(HTTPS, {"https_proxy": "http://p:3128", "NETRC": str(netrc)})
    from_address = environment_proxy(HTTPS, {"https_proxy": "http://box:s3cr%65t@p:3128", "NETRC": "/nowhere"})
    assert from_netrc == from_address == HttpProxy.at("http://p:3128", "box", "s3cret")
    assert "s3cret" not in repr(from_netrc)
    assert from_netrc.authorization not in repr(from_netrc)


@pytest.mark.parametrize("url", ["https://box:s3cret@p", "socks5://p", "http://p:99999", "http://"])
def test_a_proxy_that_cannot_be_used_is_said_and_passed_over(url, capsys):
    assert environment_proxy(HTTPS, {"HTTPS_PROXY": url}) is None
    said = capsys.readouterr().out
    assert "the environment's proxy cannot be used" in said
    assert "s3cret" not in said
