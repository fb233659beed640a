"""Server reflection under both of its names: v1, and v1alpha, which grpcurl 1.8 asks for."""

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
V1 = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: grpc.aio.Server, service_names: list[str]) -> None:
    """Lets clients discover the named services and reflection itself. The versions differ in name only."""
    _describe_v1()
    servicer = ReflectionServicer([*service_names, V1, V1ALPHA])
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handler = grpc.method_handlers_generic_handler(V1, {"ServerReflectionInfo": method})
    server.add_generic_rpc_handlers((handler,))


def _describe_v1() -> None:
    """Adds v1's descriptors to the default pool: v1alpha's, renamed."""
    pool = descriptor_pool.Default()
    try:
        pool.FindServiceByName(V1)
    except KeyError:
        text = reflection_pb2.DESCRIPTOR.serialized_pb
        proto = descriptor_pb2.FileDescriptorProto.FromString(text)
        proto.name = proto.name.replace("v1alpha", "v1")
        proto.package = "grpc.reflection.v1"
        for message in proto.message_type:
            for field in message.field:
                if field.HasField("type_name"):
                    field.type_name = field.type_name.replace("v1alpha", "v1")
        for service in proto.service:
            for method in service.method:
                method.input_type = method.input_type.replace("v1alpha", "v1")
                method.output_type = method.output_type.replace("v1alpha", "v1")
        pool.AddSerializedFile(proto.SerializeToString())
