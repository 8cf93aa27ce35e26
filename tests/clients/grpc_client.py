"""grpcio calls what grpc_server.py offers, as a plan says: `target`, perhaps `ca` and `proxy`, perhaps `authorization`."""

import queue

import grpc

import plan as plans

LARGE = bytes(at % 251 for at in range(3 << 20))


def calls(plan):
    options = [("grpc.max_receive_message_length", 16 << 20), ("grpc.max_send_message_length", 16 << 20)]
    options.append(("grpc.http_proxy", plan["proxy"]) if plan.get("proxy") else ("grpc.enable_http_proxy", 0))
    if plan.get("ca"):
        with open(plan["ca"], "rb") as roots:
            channel = grpc.secure_channel(plan["target"], grpc.ssl_channel_credentials(roots.read()), options)
    else:
        channel = grpc.insecure_channel(plan["target"], options)
    metadata = [("x-order", "7"), ("x-bin-bin", b"\x00\xfe")]
    if plan.get("authorization"):
        metadata.append(("authorization", plan["authorization"]))
    how = {"metadata": metadata, "timeout": 60}

    def unary(name, message, **further):
        return channel.unary_unary(f"/test.Orders/{name}").with_call(message, **{**how, **further})

    def ended(call):
        trailing = [[key, str(value)] for key, value in call.trailing_metadata() or [] if key.startswith("x-")]
        return {"code": call.code().name, "details": call.details(), "trailing": sorted(trailing)}

    def refused(name, message, **further):
        try:
            unary(name, message, **further)
        except grpc.RpcError as error:
            return ended(error)

    def chat():
        """Each message is sent once the one before it was answered."""
        said = queue.Queue()
        call = channel.stream_stream("/test.Orders/Chat")(iter(said.get, None), **how)
        heard = []
        for message in [b"one", b"two", b"three"]:
            said.put(message)
            heard.append(next(call).decode())
        said.put(None)
        assert next(call, None) is None
        return {"heard": heard, **ended(call)}

    with channel:
        answer, call = unary("Echo", b"an order")
        results = {"unary": {"answer": answer.decode(), **ended(call)}}
        results["metadata"] = unary("Order", b"")[0].decode()
        results["large"] = unary("Echo", LARGE)[0] == LARGE
        results["missing"] = refused("Missing", b"7")
        counted = channel.unary_stream("/test.Orders/Count")(b"1000", **how)
        results["server stream"] = {"sum": sum(int(number) for number in counted), **ended(counted)}
        parts = (LARGE[:1000] for _ in range(500))
        results["client stream"] = channel.stream_unary("/test.Orders/Total")(parts, **how).decode()
        results["chat"] = chat()
        results["deadline"] = refused("Slow", b"", timeout=0.5)
        # The server has heard of the deadline, which is not the one that everything else has.
        results["remained"] = float(unary("Remaining", b"")[0]) < 30
        results["unknown"] = refused("Unknown", b"")["code"]
    return results


plans.run(calls)
