//! Builders fill in what a test is not about.

use std::sync::atomic::{AtomicU64, Ordering};

use super::proto::{
    Channel, ContactPointInput, RecordReleaseRequest, ReportInput, Reporter, SubmitReportRequest, release,
};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A fresh idempotency key.
pub(crate) fn request_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A report about the product `app`, from somebody, about something; its reference (`R-…`) is fresh.
pub(crate) fn a_report() -> ReportBuilder {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    ReportBuilder {
        request_id: String::new(),
        input: ReportInput {
            source: "zendesk".to_owned(),
            external_id: format!("R-{number}"),
            product: "app".to_owned(),
            title: "Export to PDF stops at page three".to_owned(),
            body: "When I export a long document to PDF the file ends after the third page.".to_owned(),
            reporter: Some(Reporter::default()),
            ..ReportInput::default()
        },
    }
}

/// See [`a_report`].
#[derive(Clone)]
pub(crate) struct ReportBuilder {
    request_id: String,
    pub(crate) input: ReportInput,
}

impl ReportBuilder {
    fn reporter(&mut self) -> &mut Reporter {
        self.input.reporter.get_or_insert_with(Reporter::default)
    }

    fn contact(mut self, channel: Channel, address: &str) -> Self {
        let contact = ContactPointInput { channel: channel.into(), address: address.to_owned() };
        self.reporter().contact_points.push(contact);
        self
    }

    /// From this mail address; called again, from one more of the same person.
    pub(crate) fn from(self, address: &str) -> Self {
        self.contact(Channel::Email, address)
    }

    /// To be answered by this webhook.
    pub(crate) fn webhook(self, url: &str) -> Self {
        self.contact(Channel::Webhook, url)
    }

    /// To be answered by a help desk on the stream.
    pub(crate) fn stream(self, reference: &str) -> Self {
        self.contact(Channel::Stream, reference)
    }

    /// From the customer with this id of the caller's own.
    pub(crate) fn customer(mut self, external_id: &str) -> Self {
        self.reporter().external_id = external_id.to_owned();
        self
    }

    /// By this name.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.reporter().display_name = name.to_owned();
        self
    }

    /// Of a reporter in this time zone.
    pub(crate) fn time_zone(mut self, zone: &str) -> Self {
        self.reporter().time_zone = zone.to_owned();
        self
    }

    /// Running this version.
    pub(crate) fn version(mut self, version: &str) -> Self {
        self.input.version = version.to_owned();
        self
    }

    /// On this platform.
    pub(crate) fn platform(mut self, platform: &str) -> Self {
        self.input.platform = platform.to_owned();
        self
    }

    /// About this product, or none.
    pub(crate) fn product(mut self, product: &str) -> Self {
        self.input.product = product.to_owned();
        self
    }

    /// With this headline and nothing more.
    pub(crate) fn saying(mut self, text: &str) -> Self {
        self.input.title = text.to_owned();
        self.input.body.clear();
        self
    }

    /// With these words below the headline.
    pub(crate) fn body(mut self, text: &str) -> Self {
        self.input.body = text.to_owned();
        self
    }

    /// With this reference in its help desk.
    pub(crate) fn reference(mut self, external_id: &str) -> Self {
        self.input.external_id = external_id.to_owned();
        self
    }

    /// With this grouping key.
    pub(crate) fn fingerprint(mut self, fingerprint: &str) -> Self {
        self.input.fingerprint = fingerprint.to_owned();
        self
    }

    /// Sent under this idempotency key.
    pub(crate) fn request_id(mut self, id: &str) -> Self {
        self.request_id = id.to_owned();
        self
    }

    /// Changed in a way that no other step here does.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut ReportInput)) -> Self {
        change(&mut self.input);
        self
    }

    /// As it goes over the wire.
    pub(crate) fn request(self) -> SubmitReportRequest {
        SubmitReportRequest { request_id: self.request_id, report: Some(self.input) }
    }
}

/// A release of the product `app`.
pub(crate) fn a_release(version: &str) -> ReleaseBuilder {
    ReleaseBuilder {
        request: RecordReleaseRequest {
            product: "app".to_owned(),
            version: version.to_owned(),
            ..RecordReleaseRequest::default()
        },
    }
}

/// See [`a_release`].
#[derive(Clone)]
pub(crate) struct ReleaseBuilder {
    pub(crate) request: RecordReleaseRequest,
}

impl ReleaseBuilder {
    /// With the fix of this defect.
    pub(crate) fn fixing(mut self, defect: &str) -> Self {
        self.request.defects.push(defect.to_owned());
        self
    }

    /// Of this product.
    pub(crate) fn of(mut self, product: &str) -> Self {
        self.request.product = product.to_owned();
        self
    }

    /// On this line.
    pub(crate) fn line(mut self, line: &str) -> Self {
        self.request.line = line.to_owned();
        self
    }

    /// For this platform.
    pub(crate) fn platform(mut self, platform: &str) -> Self {
        self.request.platforms.push(platform.to_owned());
        self
    }

    /// Announced, not to be had yet.
    pub(crate) fn planned(mut self) -> Self {
        self.request.state = release::State::Planned.into();
        self
    }

    /// Sent under this idempotency key.
    pub(crate) fn request_id(mut self, id: &str) -> Self {
        self.request.request_id = id.to_owned();
        self
    }
}
