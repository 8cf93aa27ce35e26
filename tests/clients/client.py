"""Python's clients: urllib, requests, httpx, aiohttp and websockets do what a plan says."""

import asyncio
import ssl
import urllib.error
import urllib.request

import plan as plans


def trust(plan):
    """The roots that the plan names, or those of the environment as Python itself reads it."""
    return ssl.create_default_context(cafile=plan.get("ca"))


def fields_of(plan, step):
    fields = dict(step.get("fields") or [])
    if plan.get("authorization"):
        fields["authorization"] = plan["authorization"]
    return fields


def event_number(line):
    return line.strip() if line.startswith("data:") else None


# urllib ---------------------------------------------------------------------------------------------------------------


def with_urllib(plan):
    handlers = [urllib.request.HTTPSHandler(context=trust(plan))]
    if not plan.get("environment"):
        proxy = plan.get("proxy")
        handlers.append(urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else {}))
    opener = urllib.request.build_opener(*handlers)

    def send(step):
        data = plans.octets(step) if plans.is_streamed(step) else plans.content(step)
        request = urllib.request.Request(step["url"], data=data, headers=fields_of(plan, step), method=step["method"])
        try:
            return opener.open(request)
        except urllib.error.HTTPError as answer:
            return answer

    def one(step):
        with send(step) as answer:
            if step["kind"] == "events":
                return events(step, answer)
            return plans.result(answer.status, answer.headers.items(), answer.read())

    def events(step, answer):
        seen = []
        for line in answer:
            if event := event_number(line.decode()):
                seen.append(event)
                send({"url": step["heard"], "method": "POST"}).close()
        return {"status": answer.status, "events": seen}

    return plans.each(plan, one)


# requests -------------------------------------------------------------------------------------------------------------


def with_requests(plan):
    import requests

    session = requests.Session()
    if not plan.get("environment"):
        session.trust_env = False
        session.verify = plan.get("ca") or True
        if proxy := plan.get("proxy"):
            session.proxies = {"http": proxy, "https": proxy}

    def send(step, **how):
        data = plans.octets(step) if plans.is_streamed(step) else plans.content(step)
        return session.request(
            step["method"], step["url"], data=data, headers=fields_of(plan, step), allow_redirects=False, **how
        )

    def one(step):
        if step["kind"] == "events":
            return events(step)
        if step["kind"] == "reuse":
            return reuse(step)
        answer = send(step)
        return plans.result(answer.status_code, answer.raw.headers.items(), answer.content)

    def events(step):
        seen = []
        with send(step, stream=True) as answer:
            for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
                if event := event_number(line):
                    seen.append(event)
                    send({"url": step["heard"], "method": "POST"})
            return {"status": answer.status_code, "events": seen}

    def reuse(step):
        before = connections()
        for _ in range(3):
            send(step)
        # One may be there already.
        return {"connections": max(1, connections() - before)}

    def connections():
        adapters = session.adapters.values()
        managers = [manager for adapter in adapters for manager in [adapter.poolmanager, *adapter.proxy_manager.values()]]
        return sum(manager.pools[key].num_connections for manager in managers for key in manager.pools.keys())

    return plans.each(plan, one)


# httpx ----------------------------------------------------------------------------------------------------------------


def with_httpx(plan):
    import httpx

    version = {"http1": plan["version"] == "1.1", "http2": plan["version"] != "1.1"}
    verify = trust(plan)
    clients = {}

    def client(step):
        """One that keeps connections; the one for `beside` is another, since this one may be busy reading."""
        unix, key = step.get("unix"), (step.get("unix"), step.get("beside"))
        if key not in clients:
            if unix:
                how = {"transport": httpx.HTTPTransport(uds=unix, **version), "trust_env": False}
            elif plan.get("environment"):
                how = version
            else:
                how = {"verify": verify, "proxy": plan.get("proxy"), "trust_env": False, **version}
            clients[key] = httpx.Client(timeout=60, **how)
        return clients[key]

    def arguments(step):
        content = plans.octets(step) if plans.is_streamed(step) else plans.content(step)
        return {"content": content, "headers": fields_of(plan, step)}

    def one(step):
        if step["kind"] == "events":
            return events(step)
        if step["kind"] == "reuse":
            return {"connections": len({end(step) for _ in range(3)})}
        answer = client(step).request(step["method"], step["url"], **arguments(step))
        told = plans.result(answer.status_code, answer.headers.multi_items(), answer.content)
        return {**told, "version": answer.http_version.removeprefix("HTTP/").removesuffix(".0")}

    def end(step):
        answer = client(step).request("GET", step["url"], **arguments(step))
        return str(answer.extensions["network_stream"].get_extra_info("client_addr"))

    def events(step):
        seen = []
        with client(step).stream("GET", step["url"], **arguments(step)) as answer:
            for line in answer.iter_lines():
                if event := event_number(line):
                    seen.append(event)
                    heard = {"method": "POST", "url": step["heard"], "unix": step.get("unix"), "beside": True}
                    client(heard).request("POST", step["heard"], headers=fields_of(plan, heard))
            return {"status": answer.status_code, "events": seen}

    return plans.each(plan, one)


# aiohttp --------------------------------------------------------------------------------------------------------------


def with_aiohttp(plan):
    return asyncio.run(aiohttp_steps(plan))


async def aiohttp_steps(plan):
    import aiohttp
    import yarl

    sessions = {}

    def session(step):
        unix = step.get("unix")
        if unix not in sessions:
            connector = aiohttp.UnixConnector(path=unix) if unix else aiohttp.TCPConnector(ssl=trust(plan))
            sessions[unix] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=bool(plan.get("environment")),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=60),
            )
        return sessions[unix]

    async def streamed(step):
        for part in plans.octets(step):
            yield part

    def through():
        return {"proxy": plan["proxy"]} if plan.get("proxy") else {}

    def send(step):
        data = streamed(step) if plans.is_streamed(step) else plans.content(step)
        # As it is written: by itself yarl would spell parts of it in its own way.
        url = yarl.URL(step["url"], encoded=True)
        fields = fields_of(plan, step)
        # It writes the field by itself.
        how = {"expect100": fields.pop("expect", None) is not None, "allow_redirects": False, **through()}
        return session(step).request(step["method"], url, data=data, headers=fields, **how)

    async def one(step):
        if step["kind"] == "websocket":
            return await websocket(step)
        async with send(step) as answer:
            if step["kind"] == "events":
                return await events(step, answer)
            fields = [(name.decode(), value.decode()) for name, value in answer.raw_headers]
            return plans.result(answer.status, fields, await answer.read())

    async def events(step, answer):
        seen = []
        async for line in answer.content:
            if event := event_number(line.decode()):
                seen.append(event)
                async with send({"method": "POST", "url": step["heard"], "unix": step.get("unix")}):
                    pass
        return {"status": answer.status, "events": seen}

    async def websocket(step):
        how = {"headers": fields_of(plan, step), "protocols": ["echo"], **through()}
        async with session(step).ws_connect(step["url"], **how) as socket:
            seen = []
            for message in step["messages"]:
                await socket.send_str(message)
                seen.append((await socket.receive()).data)
            large = b"".join(plans.octets(step))
            await socket.send_bytes(large)
            same = (await socket.receive()).data == large
            await socket.send_str("close")
            await socket.receive()
            return {"protocol": socket.protocol, "messages": seen, "large": same, "close": socket.close_code}

    results = {}
    for step in plan["steps"]:
        try:
            results[step["name"]] = await one(step)
        except Exception as error:
            results[step["name"]] = {"error": f"{type(error).__name__}: {error}"}
    for opened in sessions.values():
        await opened.close()
    return results


# websockets -----------------------------------------------------------------------------------------------------------


def with_websockets(plan):
    from websockets.sync.client import connect, unix_connect

    def one(step):
        url = step["url"].replace("http", "ws", 1)
        how = {"additional_headers": fields_of(plan, step), "subprotocols": ["echo"]}
        if url.startswith("wss:"):
            how["ssl"] = trust(plan)
        if step.get("unix"):
            opened = unix_connect(step["unix"], url, **how)
        else:
            opened = connect(url, proxy=True if plan.get("environment") else plan.get("proxy"), **how)
        with opened as socket:
            seen = []
            for message in step["messages"]:
                socket.send(message)
                seen.append(socket.recv())
            large = b"".join(plans.octets(step))
            socket.send(large)
            same = socket.recv() == large
            # A ping has to be answered by the other end.
            answered = socket.ping().wait(60)
            socket.send("close")
            try:
                socket.recv()
            except Exception:
                pass
            told = {"protocol": socket.subprotocol, "messages": seen, "large": same, "close": socket.close_code}
            return {**told, "ping": answered}

    return plans.each(plan, one)


LIBRARIES = {
    "urllib": with_urllib,
    "requests": with_requests,
    "httpx": with_httpx,
    "aiohttp": with_aiohttp,
    "websockets": with_websockets,
}

plans.run(lambda plan: LIBRARIES[plan["library"]](plan))
