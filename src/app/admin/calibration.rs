//! What people's answers taught the matcher, shown and forgotten.

use serde_json::json;

use crate::app::calibration::{Learned, learned};
use crate::app::{App, Call, Error, Once};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::policy::Policy;
use crate::store::tenant;

impl App {
    /// How sure the matcher has to be, and why.
    pub async fn get_calibration(&self, call: &Call) -> Result<Learned, Error> {
        let db = self.read(call);
        let (policy, _) = tenant::policy(&db).await?;
        learned(&db, &policy).await
    }

    /// Lets only answers from now on count.
    pub async fn reset_calibration(&self, call: &Call) -> Result<Once<Learned>, Error> {
        const METHOD: &str = "ResetCalibration";
        let mut txn = self.begin(call).await?;
        let policy = txn.policy().clone();
        if self.earlier(&txn, call, METHOD, &()).await?.is_some() {
            return Ok(Once { result: learned(&txn.read(), &policy).await?, replayed: true });
        }
        let policy = Policy { answers_since: Some(txn.now()), ..policy };
        tenant::update_policy(&txn, &policy).await?;
        let tenant = txn.scope().tenant();
        txn.record(NewEvent::new(EventKind::PolicyUpdated, tenant).data(json!({ "fields": ["calibration"] })));
        self.remember(&txn, call, METHOD, &(), json!({})).await?;
        let result = learned(&txn.read(), &policy).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result, replayed: false })
    }
}
