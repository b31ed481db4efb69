//! What all connections share: the parts of one workspace and where it can be reached.

use std::sync::Arc;

use crate::auth::{Audience, Credentials};
use crate::clusters::Clusters;
use crate::contexts::Contexts;
use crate::effects::Tally;
use crate::faults::Faults;
use crate::jobs::Jobs;
use crate::local::Bulk;
use crate::mlflow::Mlflow;
use crate::options::Options;
use crate::queries::Queries;
use crate::record::Recorder;
use crate::sql::Database;
use crate::statements::Statements;
use crate::storage::Storage;
use crate::warehouses::Warehouses;

#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) options: Options,
    pub(crate) origin: String,
    pub(crate) account_origin: String,
    pub(crate) port: u16,
    pub(crate) credentials: Credentials,
    pub(crate) clusters: Clusters,
    pub(crate) warehouses: Warehouses,
    pub(crate) contexts: Contexts,
    pub(crate) statements: Statements,
    pub(crate) storage: Storage,
    pub(crate) queries: Queries,
    pub(crate) jobs: Jobs,
    pub(crate) mlflow: Mlflow,
    pub(crate) effects: Arc<Tally>,
    pub(crate) database: Arc<Database>,
    pub(crate) recorder: Recorder,
    pub(crate) faults: Faults,
    pub(crate) bulk: Bulk,
}

impl Workspace {
    pub(crate) fn origin(&self, audience: Audience) -> &str {
        match audience {
            Audience::Workspace => &self.origin,
            Audience::Account => &self.account_origin,
        }
    }

    /// The host name that warehouses name in their connection details.
    pub(crate) fn host(&self) -> &'static str {
        if self.options.tls { "localhost" } else { "127.0.0.1" }
    }
}
