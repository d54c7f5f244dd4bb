"""Traces arrive at a collector that speaks OTLP."""

from concurrent import futures

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from conftest import WEB_AND_TILL, Project, orders
from serving import serving
from test_grpc import Client


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it is sent."""

    def __init__(self):
        self.spans = []

    def Export(self, request, context):
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()


def test_requests_and_refreshes_are_traced(binary, tmp_path):
    collector = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    project = Project(binary, tmp_path / "traced", WEB_AND_TILL + f'\n[serve]\ntraces_to = "http://127.0.0.1:{port}"\n')
    project.ingest("till", project.write("a.csv", orders(20)))
    with serving(project) as tessera:
        client = Client(tessera.address)
        started = client.call("RefreshService/RunRefresh")["refresh"]
        list(client.call("RefreshService/WatchRefresh", {"refreshId": started["refreshId"]}))
        assert tessera.end() == 0
    server.stop(None)
    names = {span.name for span in collector.spans}
    assert {"request", "refresh", "model"} <= names, names
    [refresh] = [span for span in collector.spans if span.name == "refresh"]
    models = [span for span in collector.spans if span.name == "model"]
    assert len(models) > 10 and all(span.trace_id == refresh.trace_id for span in models)
