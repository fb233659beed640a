"""``stakehold ping``: does the service answer?"""

import click
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.commands.operating import STATUSES, operator_command
from service.operators.office import Office
from service.operators.refusals import NO_ANSWER, NotDone
from service.operators.reports import Dossier
from stakehold.v1.fx_service_pb2 import ListPairsRequest
from stakehold.v1.fx_service_pb2_grpc import FxServiceStub


@click.command(epilog=STATUSES)
@operator_command
def command(office: Office) -> Dossier:
    """Ask the service whether it takes calls, and read something as any caller does. Changes nothing.

    What is read are the pairs of currencies: the caller needs a role that may list them, such as rates,
    operator or auditor.
    """
    health = office.ask(
        health_pb2_grpc.HealthStub(office.channel).Check, health_pb2.HealthCheckRequest(service="")
    )
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(health.status)
    if health.status != health_pb2.HealthCheckResponse.SERVING:
        raise NotDone(f"{office.address} is {status}.", status=NO_ANSWER)
    pairs = office.ask(FxServiceStub(office.channel).ListPairs, ListPairsRequest()).pairs
    return Dossier({"address": office.address, "health": status, "pairs": str(len(pairs))}, ())
