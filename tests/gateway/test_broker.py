def test_smoke(world, start_upstream, rule, lease, use, until):
    up = start_upstream("forge.test")
    box = world.open(rule("forge.test", up.port, methods=("GET","POST"), paths=("/public/**",)), secrets=(use(),), leases=(lease(),))
    req = b"GET /public/a?x=1 HTTP/1.1\r\nHost: forge.test:%d\r\nAuthorization: Bearer rfph_0123456789abcdef0123456789abcd\r\nConnection: close\r\n\r\n" % up.port
    out = box.fetch(f"forge.test:{up.port}", req)
    print(out.decode())
    print(up.seen)
    out = box.fetch(f"forge.test:{up.port}", req.replace(b"/public", b"/secret"))
    print(out.decode())
    try:
        box.tunnel("evil.test:443")
    except ConnectionError as e: print(e)
    for r in world.records: print(r.to_json())
    print(world.broker.stats())
