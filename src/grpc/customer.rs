//! `CustomerService`: the humans who report and are told.

use tonic::{Request, Response, Status};

use crate::app::Once;
use crate::app::customer::{NewInstallation, Preferences, Profile, TimelineEntry};
use crate::domain::customer::{ContactPoint, ContactState, Installation};
use crate::domain::id::{ContactPointId, CustomerId};
use crate::domain::report::NewReporter;
use crate::domain::scope::Scope;
use crate::domain::violation::Violations;

use super::convert::{channel, noted_id, optional_text, read_contact_points, timestamp};
use super::list::read_page;
use super::proto::{self, customer_service_server::CustomerService};
use super::{Api, page_token};

fn contact_state(state: ContactState) -> proto::contact_point::State {
    match state {
        ContactState::Active => proto::contact_point::State::Active,
        ContactState::OptedOut => proto::contact_point::State::OptedOut,
        ContactState::Bounced => proto::contact_point::State::Bounced,
    }
}

fn encode_contact_point(contact: ContactPoint) -> proto::ContactPoint {
    proto::ContactPoint {
        id: contact.id.to_string(),
        channel: channel(contact.channel).into(),
        address: contact.address,
        state: contact_state(contact.state).into(),
    }
}

fn encode_installation(installation: Installation) -> proto::Installation {
    proto::Installation {
        product_id: installation.product_id.to_string(),
        version: installation.version.unwrap_or_default(),
        platform: installation.platform,
        environment: installation.environment,
        region: installation.region.unwrap_or_default(),
        ring: installation.ring.unwrap_or_default(),
        last_seen_time: Some(timestamp(installation.last_seen_time)),
    }
}

/// A customer for the wire.
pub(crate) fn encode_customer(profile: Profile) -> proto::Customer {
    let Profile { customer, contact_points, installations } = profile;
    proto::Customer {
        id: customer.id.to_string(),
        external_id: customer.external_id.unwrap_or_default(),
        display_name: customer.display_name,
        locale: customer.locale,
        time_zone: customer.time_zone,
        contact_points: contact_points.into_iter().map(encode_contact_point).collect(),
        opted_out: customer.opted_out,
        installations: installations.into_iter().map(encode_installation).collect(),
        create_time: Some(timestamp(customer.create_time)),
        update_time: Some(timestamp(customer.update_time)),
        etag: customer.version.to_string(),
    }
}

fn encode_entry(entry: TimelineEntry) -> proto::TimelineEntry {
    proto::TimelineEntry {
        time: Some(timestamp(entry.time)),
        r#type: entry.kind.to_string(),
        summary: entry.summary,
        subject: entry.subject,
        cluster_id: entry.cluster_id.map(|id| id.to_string()).unwrap_or_default(),
    }
}

fn read_upsert(request: &proto::UpsertCustomerRequest, violations: &mut Violations) -> NewReporter {
    NewReporter {
        // What cannot be read still says that there is one.
        customer_id: (!request.customer_id.is_empty())
            .then(|| noted_id("customer_id", &request.customer_id, violations)),
        external_id: optional_text(&request.external_id),
        display_name: request.display_name.trim().to_owned(),
        locale: request.locale.trim().to_owned(),
        time_zone: request.time_zone.trim().to_owned(),
        contact_points: read_contact_points(&request.contact_points),
    }
}

fn read_installation(request: &proto::RecordInstallationRequest, violations: &mut Violations) -> NewInstallation {
    NewInstallation {
        customer_id: noted_id("customer_id", &request.customer_id, violations),
        product: request.product.trim().to_owned(),
        version: optional_text(&request.version),
        platform: optional_text(&request.platform).map(|platform| platform.to_lowercase()),
        environment: optional_text(&request.environment),
        region: optional_text(&request.region),
        ring: optional_text(&request.ring),
    }
}

fn read_contact_ids(field: &str, texts: &[String], violations: &mut Violations) -> Vec<ContactPointId> {
    let each = texts.iter().enumerate();
    each.map(|(index, text)| noted_id(&format!("{field}[{index}]"), text, violations)).collect()
}

fn read_preferences(request: &proto::UpdatePreferencesRequest, violations: &mut Violations) -> Preferences {
    let customer_id = noted_id("customer_id", &request.customer_id, violations);
    let mut ids = |field, texts| read_contact_ids(field, texts, violations);
    Preferences {
        customer_id,
        opted_out: request.opted_out,
        opt_out_contact_point_ids: ids("opt_out_contact_point_ids", &request.opt_out_contact_point_ids),
        opt_in_contact_point_ids: ids("opt_in_contact_point_ids", &request.opt_in_contact_point_ids),
    }
}

#[tonic::async_trait]
impl CustomerService for Api {
    async fn upsert_customer(
        &self,
        request: Request<proto::UpsertCustomerRequest>,
    ) -> Result<Response<proto::UpsertCustomerResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::CustomersWrite, request_id, &mut violations).await?;
        let input = read_upsert(request.get_ref(), &mut violations);
        self.app.check_person(&input, &mut violations);
        violations.into_result()?;
        let Once { result, replayed } = self.app.upsert_customer(&call, input).await?;
        Ok(Response::new(proto::UpsertCustomerResponse {
            customer: Some(encode_customer(result.profile)),
            created: result.created,
            replayed,
        }))
    }

    async fn get_customer(
        &self,
        request: Request<proto::GetCustomerRequest>,
    ) -> Result<Response<proto::GetCustomerResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::CustomersRead).await?;
        let mut violations = Violations::new();
        let id = noted_id("customer_id", &request.get_ref().customer_id, &mut violations);
        violations.into_result()?;
        let profile = self.app.get_customer(&call, id).await?;
        Ok(Response::new(proto::GetCustomerResponse { customer: Some(encode_customer(profile)) }))
    }

    async fn record_installation(
        &self,
        request: Request<proto::RecordInstallationRequest>,
    ) -> Result<Response<proto::RecordInstallationResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::CustomersWrite, request_id, &mut violations).await?;
        let input = read_installation(request.get_ref(), &mut violations);
        input.check(&mut violations);
        violations.into_result()?;
        let Once { result, replayed } = self.app.record_installation(&call, input).await?;
        let installation = Some(encode_installation(result));
        Ok(Response::new(proto::RecordInstallationResponse { installation, replayed }))
    }

    async fn update_preferences(
        &self,
        request: Request<proto::UpdatePreferencesRequest>,
    ) -> Result<Response<proto::UpdatePreferencesResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::CustomersWrite, request_id, &mut violations).await?;
        let input = read_preferences(request.get_ref(), &mut violations);
        input.check(&mut violations);
        violations.into_result()?;
        let Once { result, replayed } = self.app.update_preferences(&call, input).await?;
        let customer = Some(encode_customer(result));
        Ok(Response::new(proto::UpdatePreferencesResponse { customer, replayed }))
    }

    async fn get_timeline(
        &self,
        request: Request<proto::GetTimelineRequest>,
    ) -> Result<Response<proto::GetTimelineResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::CustomersRead).await?;
        let request = request.get_ref();
        let mut violations = Violations::new();
        let id: CustomerId = noted_id("customer_id", &request.customer_id, &mut violations);
        // The customer is what this list is filtered by.
        let filter = id.to_string();
        let (size, after) = read_page("timeline", &filter, request.page_size, &request.page_token, &mut violations);
        violations.into_result()?;
        let page = self.app.get_timeline(&call, id, after.unwrap_or(0), size).await?;
        Ok(Response::new(proto::GetTimelineResponse {
            entries: page.items.into_iter().map(encode_entry).collect(),
            next_page_token: page_token::encode("timeline", &filter, "", page.next),
        }))
    }
}
