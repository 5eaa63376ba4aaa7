//! Who calls: the first thought of every handler.

use tonic::metadata::MetadataMap;
use uuid::Uuid;

use crate::app::{Call, Error};
use crate::domain::scope::Scope;

use super::Api;

impl Api {
    /// Authenticates the caller and checks the scope that the call needs, before anything of its content is looked at.
    pub(crate) async fn caller(&self, metadata: &MetadataMap, scope: Scope) -> Result<Call, Error> {
        let header = metadata.get("authorization").ok_or(Error::CredentialsMissing)?;
        let header = header.to_str().map_err(|_| Error::CredentialsInvalid)?;
        let key = header
            .strip_prefix("Bearer ")
            .or_else(|| header.strip_prefix("bearer "))
            .ok_or(Error::CredentialsInvalid)?;
        let call = self.app.authenticate(key.trim(), self.app.clock.now()).await?;
        call.need(scope)?;
        Ok(call)
    }

    /// The same for a call that changes something and may carry an idempotency key.
    pub(crate) async fn writer(&self, metadata: &MetadataMap, scope: Scope, request_id: &str) -> Result<Call, Error> {
        let mut call = self.caller(metadata, scope).await?;
        if !request_id.is_empty() {
            let id = Uuid::try_parse(request_id)
                .map_err(|_| Error::invalid("request_id", "is not a UUID; send one, or leave it empty"))?;
            call.request_id = Some(id);
        }
        Ok(call)
    }
}
