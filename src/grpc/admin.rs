//! `AdminService`: tenants, keys, products and policies.

use tonic::{Request, Response, Status};

use crate::app::Once;
use crate::app::admin::{MAX_DISPLAY_NAME, NewApiKey, NewProduct, PolicyChange, PolicyValues, VersionedPolicy};
use crate::app::calibration::Learned;
use crate::domain::id::ApiKeyId;
use crate::domain::policy::MultiDefect;
use crate::domain::product::Product;
use crate::domain::scope::Scope;
use crate::domain::version::VersionScheme;
use crate::domain::violation::Violations;
use crate::store::tenant::{ApiKey, Tenant};

use super::convert::{noted_id, read_timestamp, timestamp};
use super::list::read_page;
use super::proto::{self, admin_service_server::AdminService};
use super::{Api, page_token};

fn encode_tenant(tenant: Tenant) -> proto::Tenant {
    proto::Tenant {
        id: tenant.id.to_string(),
        display_name: tenant.display_name,
        create_time: Some(timestamp(tenant.create_time)),
    }
}

fn encode_key(key: ApiKey) -> proto::ApiKey {
    proto::ApiKey {
        id: key.id.to_string(),
        display_name: key.display_name,
        scopes: key.scopes.0.iter().map(|scope| scope.to_string()).collect(),
        create_time: Some(timestamp(key.create_time)),
        expire_time: key.expire_time.map(timestamp),
        revoke_time: key.revoke_time.map(timestamp),
    }
}

/// A product for the wire.
pub(crate) fn encode_product(product: Product) -> proto::Product {
    let version_scheme = match product.version_scheme {
        VersionScheme::Semver => proto::product::VersionScheme::Semver,
        VersionScheme::Continuous => proto::product::VersionScheme::Continuous,
    };
    proto::Product {
        id: product.id.to_string(),
        key: product.key,
        display_name: product.display_name,
        version_scheme: version_scheme.into(),
        lines: product.lines.0,
        create_time: Some(timestamp(product.create_time)),
        etag: product.version.to_string(),
    }
}

fn encode_policy(versioned: VersionedPolicy) -> proto::Policy {
    let VersionedPolicy { policy, version } = versioned;
    let multi_defect = match policy.multi_defect {
        MultiDefect::All => proto::policy::MultiDefect::All,
        MultiDefect::Any => proto::policy::MultiDefect::Any,
    };
    proto::Policy {
        acknowledge: policy.acknowledge,
        multi_defect: multi_defect.into(),
        approval_threshold: policy.approval_threshold.map(|count| i64::try_from(count).unwrap_or(i64::MAX)),
        settle_delay: Some(prost_types::Duration {
            seconds: i64::try_from(policy.settle_delay_seconds).unwrap_or(i64::MAX),
            nanos: 0,
        }),
        tell_unknown_conditionally: policy.tell_unknown_conditionally,
        quiet_start_minute: policy.quiet_hours.map(|quiet| quiet.start_minute.into()),
        quiet_end_minute: policy.quiet_hours.map(|quiet| quiet.end_minute.into()),
        time_zone: policy.time_zone,
        etag: version.to_string(),
        attach_precision: policy.attach_precision,
    }
}

fn encode_calibration(learned: Learned) -> proto::Calibration {
    let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
    proto::Calibration {
        attach_score: learned.thresholds.attach,
        suggest_score: learned.thresholds.suggest,
        slope: learned.calibration.slope,
        offset: learned.calibration.offset,
        confirmed_count: count(learned.confirmed),
        rejected_count: count(learned.rejected),
        attached_count: count(learned.attached),
        taken_out_count: count(learned.taken_out),
        reset_time: learned.since.map(timestamp),
    }
}

fn read_product(request: proto::UpsertProductRequest, violations: &mut Violations) -> NewProduct {
    let version_scheme = match proto::product::VersionScheme::try_from(request.version_scheme) {
        Ok(proto::product::VersionScheme::Unspecified) => None,
        Ok(proto::product::VersionScheme::Semver) => Some(VersionScheme::Semver),
        Ok(proto::product::VersionScheme::Continuous) => Some(VersionScheme::Continuous),
        Err(_) => {
            violations.add("version_scheme", "is not a version scheme this server knows; send SEMVER or CONTINUOUS");
            None
        }
    };
    NewProduct {
        key: request.key.trim().to_owned(),
        display_name: request.display_name.trim().to_owned(),
        version_scheme,
        lines: request.lines.iter().map(|line| line.trim().to_owned()).collect(),
    }
}

fn read_settle_delay(delay: Option<prost_types::Duration>, violations: &mut Violations) -> u64 {
    let Some(delay) = delay else { return 0 };
    match u64::try_from(delay.seconds) {
        Ok(seconds) if delay.nanos == 0 => seconds,
        _ => {
            violations.add("policy.settle_delay", "is negative or not in whole seconds; send 0s to 604800s");
            0
        }
    }
}

fn read_minute(field: &str, minute: Option<i32>, violations: &mut Violations) -> Option<u16> {
    let read = u16::try_from(minute?).ok().filter(|&minute| minute < 1_440);
    if read.is_none() {
        violations.add(field, "is not a minute of the day; send 0 to 1439");
    }
    read
}

/// A change as a caller sends it; what of it cannot be read is noted.
fn read_policy_change(request: proto::UpdatePolicyRequest, violations: &mut Violations) -> PolicyChange {
    let policy = request.policy.unwrap_or_else(|| {
        violations.add("policy", "is required; set it");
        proto::Policy::default()
    });
    let multi_defect = match proto::policy::MultiDefect::try_from(policy.multi_defect) {
        Ok(proto::policy::MultiDefect::Unspecified | proto::policy::MultiDefect::All) => MultiDefect::All,
        Ok(proto::policy::MultiDefect::Any) => MultiDefect::Any,
        Err(_) => {
            violations.add("policy.multi_defect", "is not a value this server knows; send ALL or ANY");
            MultiDefect::All
        }
    };
    let approval_threshold = policy.approval_threshold.and_then(|count| {
        let read = u64::try_from(count).ok();
        if read.is_none() {
            violations.add("policy.approval_threshold", "is negative; send 0 or more, or leave it unset");
        }
        read
    });
    let values = PolicyValues {
        acknowledge: policy.acknowledge,
        multi_defect,
        approval_threshold,
        settle_delay_seconds: read_settle_delay(policy.settle_delay, violations),
        tell_unknown_conditionally: policy.tell_unknown_conditionally,
        quiet_start_minute: read_minute("policy.quiet_start_minute", policy.quiet_start_minute, violations),
        quiet_end_minute: read_minute("policy.quiet_end_minute", policy.quiet_end_minute, violations),
        time_zone: policy.time_zone.trim().to_owned(),
        attach_precision: policy.attach_precision,
        etag: policy.etag,
    };
    PolicyChange { policy: values, update_mask: request.update_mask.unwrap_or_default().paths }
}

#[tonic::async_trait]
impl AdminService for Api {
    async fn create_tenant(
        &self,
        request: Request<proto::CreateTenantRequest>,
    ) -> Result<Response<proto::CreateTenantResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::Operator, request_id, &mut violations).await?;
        let display_name = request.get_ref().display_name.trim();
        violations.required_text("display_name", display_name, MAX_DISPLAY_NAME);
        violations.into_result()?;
        let Once { result, replayed } = self.app.create_tenant(&call, display_name).await?;
        Ok(Response::new(proto::CreateTenantResponse {
            tenant: Some(encode_tenant(result.tenant)),
            api_key: Some(encode_key(result.first_key.key)),
            secret: result.first_key.secret,
            replayed,
        }))
    }

    async fn get_tenant(
        &self,
        request: Request<proto::GetTenantRequest>,
    ) -> Result<Response<proto::GetTenantResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::Admin).await?;
        let tenant = self.app.get_tenant(&call).await?;
        Ok(Response::new(proto::GetTenantResponse { tenant: Some(encode_tenant(tenant)) }))
    }

    async fn list_tenants(
        &self,
        request: Request<proto::ListTenantsRequest>,
    ) -> Result<Response<proto::ListTenantsResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::Operator).await?;
        let request = request.get_ref();
        let mut violations = Violations::new();
        let (size, after) = read_page("tenants", "", request.page_size, &request.page_token, &mut violations);
        violations.into_result()?;
        let page = self.app.list_tenants(&call, after, size).await?;
        Ok(Response::new(proto::ListTenantsResponse {
            tenants: page.items.into_iter().map(encode_tenant).collect(),
            next_page_token: page_token::encode("tenants", "", "", page.next),
        }))
    }

    async fn create_api_key(
        &self,
        request: Request<proto::CreateApiKeyRequest>,
    ) -> Result<Response<proto::CreateApiKeyResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::Admin, request_id, &mut violations).await?;
        let request = request.into_inner();
        let expire_time = read_timestamp("expire_time", request.expire_time.as_ref(), &mut violations);
        let display_name = request.display_name.trim().to_owned();
        let input = NewApiKey { display_name, scopes: request.scopes, expire_time };
        input.check(&mut violations);
        violations.into_result()?;
        let Once { result, replayed } = self.app.create_api_key(&call, input).await?;
        let (api_key, secret) = (Some(encode_key(result.key)), result.secret);
        Ok(Response::new(proto::CreateApiKeyResponse { api_key, secret, replayed }))
    }

    async fn list_api_keys(
        &self,
        request: Request<proto::ListApiKeysRequest>,
    ) -> Result<Response<proto::ListApiKeysResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::Admin).await?;
        let request = request.get_ref();
        let mut violations = Violations::new();
        let (size, after) = read_page("api_keys", "", request.page_size, &request.page_token, &mut violations);
        violations.into_result()?;
        let page = self.app.list_api_keys(&call, after, size).await?;
        Ok(Response::new(proto::ListApiKeysResponse {
            api_keys: page.items.into_iter().map(encode_key).collect(),
            next_page_token: page_token::encode("api_keys", "", "", page.next),
        }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<proto::RevokeApiKeyRequest>,
    ) -> Result<Response<proto::RevokeApiKeyResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::Admin, request_id, &mut violations).await?;
        let id: ApiKeyId = noted_id("api_key_id", &request.get_ref().api_key_id, &mut violations);
        violations.into_result()?;
        let Once { result, replayed } = self.app.revoke_api_key(&call, id).await?;
        Ok(Response::new(proto::RevokeApiKeyResponse { api_key: Some(encode_key(result)), replayed }))
    }

    async fn upsert_product(
        &self,
        request: Request<proto::UpsertProductRequest>,
    ) -> Result<Response<proto::UpsertProductResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::Admin, request_id, &mut violations).await?;
        let input = read_product(request.into_inner(), &mut violations);
        input.check(&mut violations);
        violations.into_result()?;
        let Once { result, replayed } = self.app.upsert_product(&call, input).await?;
        let (product, created) = (Some(encode_product(result.product)), result.created);
        Ok(Response::new(proto::UpsertProductResponse { product, created, replayed }))
    }

    async fn get_product(
        &self,
        request: Request<proto::GetProductRequest>,
    ) -> Result<Response<proto::GetProductResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::ReportsRead).await?;
        let product = request.get_ref().product.trim();
        let mut violations = Violations::new();
        violations.required_text("product", product, 128);
        violations.into_result()?;
        let product = self.app.get_product(&call, product).await?;
        Ok(Response::new(proto::GetProductResponse { product: Some(encode_product(product)) }))
    }

    async fn list_products(
        &self,
        request: Request<proto::ListProductsRequest>,
    ) -> Result<Response<proto::ListProductsResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::ReportsRead).await?;
        let request = request.get_ref();
        let mut violations = Violations::new();
        let (size, after) = read_page("products", "", request.page_size, &request.page_token, &mut violations);
        violations.into_result()?;
        let page = self.app.list_products(&call, after, size).await?;
        Ok(Response::new(proto::ListProductsResponse {
            products: page.items.into_iter().map(encode_product).collect(),
            next_page_token: page_token::encode("products", "", "", page.next),
        }))
    }

    async fn get_policy(
        &self,
        request: Request<proto::GetPolicyRequest>,
    ) -> Result<Response<proto::GetPolicyResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::Admin).await?;
        let policy = self.app.get_policy(&call).await?;
        Ok(Response::new(proto::GetPolicyResponse { policy: Some(encode_policy(policy)) }))
    }

    async fn update_policy(
        &self,
        request: Request<proto::UpdatePolicyRequest>,
    ) -> Result<Response<proto::UpdatePolicyResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::Admin, request_id, &mut violations).await?;
        let input = read_policy_change(request.into_inner(), &mut violations);
        let Once { result, replayed } = self.app.update_policy(&call, input, violations).await?;
        Ok(Response::new(proto::UpdatePolicyResponse { policy: Some(encode_policy(result)), replayed }))
    }

    async fn get_calibration(
        &self,
        request: Request<proto::GetCalibrationRequest>,
    ) -> Result<Response<proto::GetCalibrationResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::Admin).await?;
        let learned = self.app.get_calibration(&call).await?;
        Ok(Response::new(proto::GetCalibrationResponse { calibration: Some(encode_calibration(learned)) }))
    }

    async fn reset_calibration(
        &self,
        request: Request<proto::ResetCalibrationRequest>,
    ) -> Result<Response<proto::ResetCalibrationResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::Admin, request_id, &mut violations).await?;
        violations.into_result()?;
        let Once { result, replayed } = self.app.reset_calibration(&call).await?;
        Ok(Response::new(proto::ResetCalibrationResponse { calibration: Some(encode_calibration(result)), replayed }))
    }

    async fn rotate_webhook_secret(
        &self,
        request: Request<proto::RotateWebhookSecretRequest>,
    ) -> Result<Response<proto::RotateWebhookSecretResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::Admin, request_id, &mut violations).await?;
        violations.into_result()?;
        let Once { result, replayed } = self.app.rotate_webhook_secret(&call).await?;
        Ok(Response::new(proto::RotateWebhookSecretResponse {
            secret: result.secret,
            previous_expire_time: result.previous_expire_time.map(timestamp),
            replayed,
        }))
    }
}
