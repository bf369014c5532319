"""A client of gRPC that knows nothing of the service but what reflection tells, and health as gRPC defines it.

    python foreign.py 127.0.0.1:50051

Exits with 0 only if every answer is the expected one.
"""

import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

TIMEOUT = 20
SERVICE = "accesstoken.v1.AccessTokenService"
# Options of the contract: extensions of what protobuf has.
NAMES = [f"accesstoken.v1.{name}" for name in ("permission", "available_from", "deprecated_from", "method_available_from", "reads")]


def expect(expected, found, what):
    if expected != found:
        raise SystemExit(f"{what}: {expected!r} was expected, and {found!r} found")


def details(pool, error):
    """The details of an error by the names of their types, decoded by what reflection tells of them."""
    trailers = {name: value for name, value in error.trailing_metadata()}
    status = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.rpc.Status"))()
    status.ParseFromString(trailers["grpc-status-details-bin"])
    expect(error.code().value[0], status.code, "the code in the details")
    found = {}
    for packed in status.details:
        name = packed.type_url.rpartition("/")[2]
        found[name] = message_factory.GetMessageClass(pool.FindMessageTypeByName(name)).FromString(packed.value)
    return found


def refused(pool, call, code, reason):
    try:
        call()
    except grpc.RpcError as error:
        info = details(pool, error)["google.rpc.ErrorInfo"]
        expect((code, reason, "access-tokens"), (error.code(), info.reason, info.domain), "the error")
        return details(pool, error)
    raise SystemExit(f"{reason} was expected, and the call answered")


def extensions(channel, database):
    """What the contract says of its methods and fields, in options of its own: permissions and releases."""
    stub, found = reflection_pb2_grpc.ServerReflectionStub(channel), set()
    for message in ("google.protobuf.MethodOptions", "google.protobuf.FieldOptions"):
        for number in database.FindAllExtensionNumbers(message):
            # The database of the library does not look extensions up.
            asked = {"containing_type": message, "extension_number": number}
            question = reflection_pb2.ServerReflectionRequest(file_containing_extension=asked)
            answer = next(stub.ServerReflectionInfo(iter([question]), timeout=TIMEOUT))
            file = descriptor_pb2.FileDescriptorProto.FromString(answer.file_descriptor_response.file_descriptor_proto[0])
            extended = [one.name for one in file.extension if (one.number, one.extendee) == (number, f".{message}")]
            expect(1, len(extended), f"the number of extensions {number} of {message}")
            found.add(f"{file.package}.{extended[0]}")
    for name in NAMES:
        expect(True, name in found, f"the extension {name}")


def reflection(channel):
    """One stream answers everything, whatever was unknown before."""
    ask = reflection_pb2.ServerReflectionRequest
    questions = [
        ask(file_containing_symbol="accesstoken.v1.Nonsense"),
        ask(file_by_filename="nonsense.proto"),
        ask(file_containing_extension={"containing_type": "google.protobuf.FieldOptions", "extension_number": 1}),
        ask(all_extension_numbers_of_type="accesstoken.v1.Nonsense"),
        ask(),
        ask(file_containing_symbol="google.rpc.Code"),
        ask(list_services=""),
    ]
    answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(questions), timeout=TIMEOUT)
    kinds = [answer.WhichOneof("message_response") for answer in answers]
    expect(["error_response"] * 5 + ["file_descriptor_response", "list_services_response"], kinds, "the answers")


def health(channel, pool):
    stub = health_pb2_grpc.HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    expect(serving, stub.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=TIMEOUT).status, "health")
    unknown = health_pb2.HealthCheckRequest(service="nonsense")
    refused(pool, lambda: stub.Check(unknown, timeout=TIMEOUT), grpc.StatusCode.NOT_FOUND, "REFERENCE_NOT_FOUND")
    watch = stub.Watch(unknown, timeout=TIMEOUT)
    expect(health_pb2.HealthCheckResponse.SERVICE_UNKNOWN, next(watch).status, "the health of an unknown name")
    watch.cancel()
    listed = stub.List(health_pb2.HealthListRequest(), timeout=TIMEOUT).statuses
    expect(serving, listed[SERVICE].status, "the listed health")
    services = {SERVICE, "accesstoken.v1.AuthenticationService", "accesstoken.v1.DirectoryService"}
    expect({"", "alive", *services}, set(listed), "the names")


def errors(channel, pool):
    def call(path, request=b"", metadata=()):
        send = channel.unary_unary(path, request_serializer=None, response_deserializer=None)
        return lambda: send(request, metadata=metadata, timeout=TIMEOUT)

    code = grpc.StatusCode
    login = "/accesstoken.v1.AuthenticationService/Login"
    refused(pool, call("/accesstoken.v1.AccessTokenService/Nonsense"), code.UNIMPLEMENTED, "METHOD_NOT_FOUND")
    refused(pool, call(f"/{SERVICE}/ShowAccessToken"), code.UNAUTHENTICATED, "INVALID_TOKEN")
    refused(pool, call(login, b"\xff\xff"), code.INVALID_ARGUMENT, "INVALID_FIELD_VALUE")
    refused(pool, call(login, bytes(70_000)), code.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE")
    found = refused(pool, call(login), code.INVALID_ARGUMENT, "REQUIRED_FIELD_MISSING")
    fields = [violation.field for violation in found["google.rpc.BadRequest"].field_violations]
    expect(["username", "password", "organisation"], fields, "the fields at fault")
    large = (("x-large", "x" * 20_000),)
    refused(pool, call(f"/{SERVICE}/ShowAccessToken", b"", large), code.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE")
    compressed = channel.unary_unary(login, request_serializer=None, response_deserializer=None)
    compress = lambda: compressed(bytes(1_000), timeout=TIMEOUT, compression=grpc.Compression.Gzip)
    refused(pool, compress, code.UNIMPLEMENTED, "UNSUPPORTED_ENCODING")


def main(address):
    # A proxy in the environment is for the world outside.
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = descriptor_pool.DescriptorPool(database)
        extensions(channel, database)
        reflection(channel)
        health(channel, pool)
        errors(channel, pool)
    print("gRPC: the client knows nothing but reflection, and works")


if __name__ == "__main__":
    main(*sys.argv[1:])
