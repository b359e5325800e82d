"""HTTP/1.1 for the box: a client for its one cloud, and a server for its few pages. h11 over asyncio's streams.

h11 (python-hyper) knows the protocol and does no I/O; what is here moves its bytes and bounds time, size and number.
There are no redirects, no cookies kept, no decompression and no WebSockets: the box needs none of them.
"""
