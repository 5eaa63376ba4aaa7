"""The whole loop, spoken by a client that was given an address and a key and nothing else.

No code was generated for it: every service, message and enum comes from server reflection at run time. If this
program runs, a stranger's program in any language with gRPC can do the same. The story it goes through:

    two customers report one problem in different words, and share a cluster
    the cluster is linked to a defect, a release fixes it, both customers are told
    the first report is sent again: same answer, nothing new
    the release is withdrawn, and exactly those two are told so

It wants a server that has not heard this story before (a fresh database, or another `--product`). It prints what
happened and exits 0, or says on stderr what was not as promised and exits 1.
"""

import argparse
import json
import os
import sys
import time

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

PACKAGE = "hearback.v1"
# For any one call. Generous: a debug server on a busy machine answers in well under a second.
CALL_SECONDS = 10
# For customers to be told once there is something to tell.
TOLD_SECONDS = 30


class Broken(Exception):
    """The server did not do what it promises."""


def expect(holds, promise):
    """Ends the story if a promise does not hold."""
    if not holds:
        raise Broken(promise)


class Credentials(
    grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor
):
    """Adds the API key to every call, reflection's too."""

    def __init__(self, api_key):
        self.metadata = [("authorization", f"Bearer {api_key}")]

    def _pass_on(self, continuation, details, request):
        metadata = [*(details.metadata or ()), *self.metadata]
        return continuation(_Details(details, metadata), request)

    intercept_unary_unary = _pass_on
    intercept_unary_stream = _pass_on
    intercept_stream_stream = _pass_on


class _Details(grpc.ClientCallDetails):
    """Call details with other metadata; gRPC offers no way to change a copy."""

    def __init__(self, original, metadata):
        self.method = original.method
        self.timeout = original.timeout
        self.metadata = metadata
        self.credentials = original.credentials
        self.wait_for_ready = original.wait_for_ready
        self.compression = original.compression


class Api:
    """Calls methods by name, `ReportService.SubmitReport`, with plain dictionaries in the JSON form of protobuf."""

    def __init__(self, channel):
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = DescriptorPool(self.database)
        self.methods = {}

    def services(self):
        """Names of everything the server offers."""
        return sorted(self.database.get_services())

    def call(self, method, timeout=CALL_SECONDS, **fields):
        """One answer. Raises `grpc.RpcError` if the server refuses."""
        stub, request = self._prepare(method, fields)
        return stub(request, timeout=timeout)

    def stream(self, method, timeout, **fields):
        """An iterator over the answers of a server-streaming method."""
        stub, request = self._prepare(method, fields)
        return stub(request, timeout=timeout)

    def pages(self, method, field, **fields):
        """Every item of a list, however many pages it takes."""
        token = ""
        while True:
            page = self.call(method, page_token=token, **fields)
            yield from getattr(page, field)
            token = page.next_page_token
            if not token:
                return

    def _prepare(self, method, fields):
        if method not in self.methods:
            self.methods[method] = self._look_up(method)
        stub, request_class = self.methods[method]
        return stub, json_format.ParseDict(fields, request_class())

    def _look_up(self, method):
        service_name, _, method_name = method.partition(".")
        service = self.pool.FindServiceByName(f"{PACKAGE}.{service_name}")
        found = service.methods_by_name[method_name]
        shape = self.channel.unary_stream if found.server_streaming else self.channel.unary_unary
        request_class = message_factory.GetMessageClass(found.input_type)
        response_class = message_factory.GetMessageClass(found.output_type)
        stub = shape(
            f"/{service.full_name}/{method_name}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        return stub, request_class


def enum_name(message, field):
    """The name of an enum field's value, such as `STATE_OPEN`."""
    value = getattr(message, field)
    known = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(value)
    return known.name if known else str(value)


def error_details(error):
    """`google.rpc` details of a refused call: its `ErrorInfo` and its field violations, by field."""
    status = rpc_status.from_call(error)
    info, violations = None, {}
    for packed in status.details if status else ():
        if packed.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            packed.Unpack(info)
        elif packed.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad_request = error_details_pb2.BadRequest()
            packed.Unpack(bad_request)
            violations = {violation.field: violation.description for violation in bad_request.field_violations}
    return info, violations


def describe(error):
    """A refused call in one line, details included."""
    info, violations = error_details(error)
    reason = f" {info.reason}" if info else ""
    fields = "".join(f"; {field}: {text}" for field, text in violations.items())
    return f"{error.code().name}{reason}: {error.details()}{fields}"


def refusal(call):
    """Makes a call that has to fail and gives the error."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return error
    raise Broken(f"a wrong request was answered instead of refused: {answer}")


def say(line):
    print(line, flush=True)


class Story:
    """The steps, in order; each stands on what the ones before left here."""

    def __init__(self, api, product, mail_domain):
        self.api = api
        self.product = product
        self.addresses = [f"ada@{mail_domain}", f"grace@{mail_domain}"]
        self.defect = "github:acme/app#12"
        # Two people, one problem: the words differ, what went wrong does not.
        self.reports = [
            self._report(
                "T-1001",
                "Ada",
                self.addresses[0],
                "PDF export fails with error E4012",
                "When I export an invoice as PDF the app shows error E4012 and no file is saved.",
            ),
            self._report(
                "T-1002",
                "Grace",
                self.addresses[1],
                "Cannot export my invoice to PDF (E4012)",
                "Hello! Exporting an invoice as PDF stopped working: error E4012, and the file is not saved. Thanks",
            ),
        ]
        # What the server answered, as the story goes on.
        self.product_id = None
        self.answers = []
        self.cluster_id = None
        self.release_id = None
        self.deliveries = []

    def _report(self, external_id, name, address, title, body):
        return {
            "source": "loop_client",
            "external_id": f"{self.product}-{external_id}",
            "reporter": {
                "display_name": name,
                "contact_points": [{"channel": "CHANNEL_EMAIL", "address": address}],
            },
            "product": self.product,
            "version": "2.4.0",
            "title": title,
            "body": body,
        }

    def tell(self):
        self.a_wrong_request_names_every_wrong_field()
        self.a_product_is_declared()
        self.two_reports_of_one_problem_share_a_cluster()
        self.the_cluster_is_listed_and_linked()
        self.a_release_fixes_it_and_both_are_told()
        self.the_timeline_remembers()
        self.a_retry_changes_nothing()
        self.a_withdrawn_release_is_corrected()

    def a_wrong_request_names_every_wrong_field(self):
        error = refusal(lambda: self.api.call("ReportService.SubmitReport", report={"source": "Not A Source!"}))
        expect(error.code() == grpc.StatusCode.INVALID_ARGUMENT, f"a wrong report was refused as {describe(error)}")
        info, violations = error_details(error)
        expect(info is not None and info.reason, f"a refusal carries no ErrorInfo: {describe(error)}")
        for field in ("report.source", "report.external_id"):
            expect(field in violations, f"the violation of {field} is not among {sorted(violations)}")
        say(f"A wrong report is refused ({info.reason}), all of it at once:")
        for field, description in sorted(violations.items()):
            say(f"    {field}: {description}")

    def a_product_is_declared(self):
        product = self.api.call(
            "AdminService.UpsertProduct", key=self.product, version_scheme="VERSION_SCHEME_SEMVER"
        ).product
        scheme = enum_name(product, "version_scheme")
        expect(scheme == "VERSION_SCHEME_SEMVER", f"product {self.product} compares versions by {scheme}")
        self.product_id = product.id
        say(f"Product {product.key} is {product.id}.")

    def two_reports_of_one_problem_share_a_cluster(self):
        self.answers = [self.api.call("ReportService.SubmitReport", report=report) for report in self.reports]
        for report, answer in zip(self.reports, self.answers):
            expect(not answer.replayed, f"{report['external_id']} was here before: this wants a fresh server")
        first, second = self.answers
        placement = second.placement
        expect(
            first.report.cluster_id == second.report.cluster_id,
            f"one problem, two clusters: {first.report.cluster_id} and {second.report.cluster_id} "
            f"({enum_name(placement, 'decision')}, score {placement.score:.3f}, "
            f"resembles {placement.suggested_cluster_id or 'nothing'})",
        )
        self.cluster_id = first.report.cluster_id
        known = second.known_problem
        expect(known.cluster_id == self.cluster_id, "the second reporter is not told that the problem is known")
        expect(not first.HasField("known_problem"), "the first report of a problem is said to be known")
        say(f"Two reports, one problem: {self.cluster_id} (score {placement.score:.2f}), {known.title!r}.")

    def the_cluster_is_listed_and_linked(self):
        clusters = self.api.pages(
            "ClusterService.ListClusters",
            "clusters",
            filter=f"product_id = {self.product_id}",
            order_by="report_count desc",
        )
        listed = {cluster.id: cluster for cluster in clusters}
        expect(self.cluster_id in listed, f"{self.cluster_id} is not listed")
        cluster = listed[self.cluster_id]
        counted = (cluster.report_count, cluster.reporter_count)
        expect(counted == (2, 2), f"{self.cluster_id} counts (reports, reporters) {counted}, not (2, 2)")
        linked = self.api.call("ClusterService.LinkDefect", cluster_id=self.cluster_id, defect=self.defect).cluster
        state = enum_name(linked, "state")
        expect(state == "STATE_LINKED", f"{self.cluster_id} is {state} after it was linked to {self.defect}")
        expect(len(linked.defect_ids) == 1, f"{self.cluster_id} has the defects {list(linked.defect_ids)}")
        say(f"It holds 2 reports of 2 customers and is linked to {self.defect}.")

    def a_release_fixes_it_and_both_are_told(self):
        release = self.api.call(
            "ReleaseService.RecordRelease", product=self.product, version="2.4.1", defects=[self.defect]
        ).release
        state = enum_name(release, "state")
        expect(state == "STATE_RELEASED", f"release {release.version} is {state}")
        self.release_id = release.id
        self.deliveries = self._wait_until_told("FIX_AVAILABLE")
        for delivery in self.deliveries:
            expect(delivery.version == "2.4.1", f"{delivery.id} names version {delivery.version!r}, not 2.4.1")
        say(f"Release 2.4.1 fixes it, and both were told: {', '.join(delivery.id for delivery in self.deliveries)}.")

    def the_timeline_remembers(self):
        for answer, delivery in zip(self.answers, self.deliveries):
            customer_id = answer.report.customer_id
            entries = list(self.api.pages("CustomerService.GetTimeline", "entries", customer_id=customer_id))
            subjects = [entry.subject for entry in entries]
            for subject in (answer.report.id, delivery.id):
                expect(subject in subjects, f"the timeline of {customer_id} lacks {subject}: {subjects}")
            say(f"The timeline of {customer_id}:")
            for entry in entries:
                say(f"    {entry.time.ToJsonString()} {entry.type}: {entry.summary}")

    def a_retry_changes_nothing(self):
        again = self.api.call("ReportService.SubmitReport", report=self.reports[0])
        first = self.answers[0]
        expect(again.replayed, "a report sent twice is not marked replayed")
        expect(again.report.id == first.report.id, f"sent twice, {first.report.id} became {again.report.id}")
        changed = {**self.reports[0], "body": "Something else altogether."}
        error = refusal(lambda: self.api.call("ReportService.SubmitReport", report=changed))
        _, violations = error_details(error)
        expect("report.body" in violations, f"another body under the same id was refused as {describe(error)}")
        say(f"Sent again, {first.report.id} is the same answer; with another body it is refused.")

    def a_withdrawn_release_is_corrected(self):
        release = self.api.call(
            "ReleaseService.YankRelease", release_id=self.release_id, reason="It loses attachments."
        ).release
        state = enum_name(release, "state")
        expect(state == "STATE_YANKED", f"release {release.version} is {state} after it was withdrawn")
        corrections = self._wait_until_told("CORRECTION")
        say(f"Withdrawn, and both were corrected: {', '.join(correction.id for correction in corrections)}.")

    def _wait_until_told(self, stage):
        """Deliveries of a stage, one for each reporter in order, once all are DELIVERED.

        The event stream says when to look, from its first event on: nothing that happens between two looks is missed.
        """
        wanted = [answer.report.customer_id for answer in self.answers]
        deadline = time.monotonic() + TOLD_SECONDS
        events = self.api.stream("EventService.Watch", timeout=TOLD_SECONDS, from_beginning=True)
        try:
            while True:
                told = self._deliveries(stage)
                strangers = sorted(set(told) - set(wanted))
                expect(not strangers, f"{stage} went to customers who did not report: {strangers}")
                if all(customer in told and is_delivered(told[customer]) for customer in wanted):
                    return [told[customer] for customer in wanted]
                found = {customer: summary(told[customer]) for customer in wanted if customer in told}
                expect(
                    time.monotonic() < deadline and wait_for_delivery_event(events),
                    f"after {TOLD_SECONDS} s not everyone of {wanted} was told {stage}; deliveries: {found or 'none'}",
                )
        finally:
            events.cancel()

    def _deliveries(self, stage):
        """Deliveries of this cluster at a stage, by customer. Two to one customer break a law of the service."""
        found = {}
        announcements = self.api.pages(
            "AnnouncementService.ListAnnouncements",
            "announcements",
            filter=f"cluster_id = {self.cluster_id} AND stage = {stage}",
        )
        for announcement in announcements:
            deliveries = self.api.pages(
                "AnnouncementService.ListDeliveries", "deliveries", filter=f"announcement_id = {announcement.id}"
            )
            for delivery in deliveries:
                expect(
                    delivery.customer_id not in found,
                    f"{delivery.customer_id} was told {stage} twice: {found.get(delivery.customer_id)} {delivery}",
                )
                found[delivery.customer_id] = delivery
        return found


def is_delivered(delivery):
    """Whether it arrived; one that never will ends the story at once."""
    state = enum_name(delivery, "state")
    expect(
        state not in ("STATE_UNCONFIRMED", "STATE_FAILED", "STATE_SUPPRESSED", "STATE_CANCELLED"),
        f"a delivery ended without arriving: {summary(delivery)}",
    )
    return state == "STATE_DELIVERED"


def summary(delivery):
    """A delivery and its tries in one line."""
    tries = "".join(f"; try {attempt.number} {attempt.outcome} {attempt.detail}" for attempt in delivery.attempts)
    return f"{delivery.id} {enum_name(delivery, 'state')} {delivery.reason}{tries}"


def wait_for_delivery_event(events):
    """Waits for the next event about a delivery; False if the stream's time is over first."""
    try:
        for response in events:
            if response.HasField("event") and response.event.type.startswith("delivery."):
                return True
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
            raise
        return False
    raise Broken("the event stream ended by itself")


def check_mailbox(path, addresses):
    """Every address got two mails, the good news and its correction, in a mailbox that `smtp_server.py` keeps."""
    with open(path, encoding="utf-8") as mailbox:
        mails = [json.loads(line) for line in mailbox]
    for address in addresses:
        subjects = [mail["headers"].get("subject", "") for mail in mails if mail["rcpt"] == address]
        expect(len(subjects) == 2, f"{address} got {len(subjects)} mails instead of 2: {subjects}")
        say(f"Mail to {address}: {' / '.join(subjects)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--address", default=os.environ.get("HEARBACK_ADDRESS"), help="host:port; else HEARBACK_ADDRESS"
    )
    parser.add_argument(
        "--api-key", default=os.environ.get("HEARBACK_API_KEY"), help="a key with scope admin; else HEARBACK_API_KEY"
    )
    parser.add_argument("--mail-domain", default="loop.test", help="where the two customers have their mail")
    parser.add_argument("--product", default="app", help="key of the product the story is about")
    parser.add_argument("--mailbox", help="file of tests/python/smtp_server.py, to check what was sent")
    arguments = parser.parse_args()
    if not arguments.address or not arguments.api_key:
        parser.error("an address and an API key are needed, as options or in the environment")

    plain = grpc.insecure_channel(arguments.address, options=[("grpc.enable_http_proxy", 0)])
    with plain:
        try:
            grpc.channel_ready_future(plain).result(timeout=CALL_SECONDS)
            api = Api(grpc.intercept_channel(plain, Credentials(arguments.api_key)))
            say(f"{arguments.address} offers {', '.join(api.services())}.")
            story = Story(api, arguments.product, arguments.mail_domain)
            story.tell()
            if arguments.mailbox:
                check_mailbox(arguments.mailbox, story.addresses)
        except Broken as broken:
            print(f"loop_client: {broken}", file=sys.stderr)
            return 1
        except grpc.FutureTimeoutError:
            print(f"loop_client: nobody listens on {arguments.address}", file=sys.stderr)
            return 1
        except grpc.RpcError as error:
            print(f"loop_client: a call was refused: {describe(error)}", file=sys.stderr)
            return 1
    say("The loop is closed, and opened again truthfully.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
