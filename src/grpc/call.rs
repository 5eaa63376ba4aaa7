//! Who calls: the first thought of every handler.

use tonic::metadata::MetadataMap;
use uuid::Uuid;

use crate::app::{Call, Error};
use crate::domain::scope::Scope;
use crate::domain::violation::Violations;

use super::Api;

impl Api {
    /// Authenticates the caller and checks the scope that the call needs, before anything of its content is looked at.
    pub(crate) async fn caller(&self, metadata: &MetadataMap, scope: Scope) -> Result<Call, Error> {
        let header = metadata.get("authorization").ok_or(Error::CredentialsMissing)?;
        let header = header.to_str().map_err(|_| Error::CredentialsInvalid)?;
        let (scheme, key) = header.split_once(' ').ok_or(Error::CredentialsInvalid)?;
        if !scheme.eq_ignore_ascii_case("Bearer") {
            return Err(Error::CredentialsInvalid);
        }
        let call = self.app.authenticate(key.trim(), self.app.clock.now()).await?;
        call.need(scope)?;
        Ok(call)
    }

    /// The same for a call that changes something and may carry an idempotency key. What is none is noted, to be answered
    /// with whatever else is wrong.
    pub(crate) async fn writer(
        &self,
        metadata: &MetadataMap,
        scope: Scope,
        request_id: &str,
        violations: &mut Violations,
    ) -> Result<Call, Error> {
        let mut call = self.caller(metadata, scope).await?;
        if !request_id.is_empty() {
            call.request_id = Uuid::try_parse(request_id).ok();
            if call.request_id.is_none() {
                violations.add("request_id", "is not a UUID; send one, or leave it empty");
            }
        }
        Ok(call)
    }
}
