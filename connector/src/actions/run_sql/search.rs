//! A statement whose submission got no answer, or whose host died: looked for in the query history, and followed from there.

use super::{RunSql, Stage, Submitted, handle};
use crate::action::{Step, Waiting};
use crate::api::Api;
use crate::error::{Error, ErrorKind};
use crate::history::{self, Search};
use crate::watch::Watch;

impl RunSql {
    /// Goes on after a submission without an answer, when it may have arrived.
    pub(super) fn lost(&self, api: &Api<'_>, error: Error) -> Result<Step<Submitted>, Error> {
        if error.kind != ErrorKind::OutcomeUnknown {
            return Err(error);
        }
        self.search_on(api, Search::after(&error), None)
    }

    /// Looks for the statement in the query history.
    pub(super) fn search(&self, api: &Api<'_>, search: Search) -> Result<Step<Submitted>, Error> {
        match history::find(api, &self.warehouse_id) {
            // From here on as if the submission had been answered.
            Ok(Some(statement_id)) => {
                let handle = handle(&statement_id);
                let look = self.look(api, statement_id, Watch::default(), 0);
                look.map_err(|e| e.with_handle(&handle))
            }
            Ok(None) => self.search_on(api, search, None),
            Err(why) if why.is_passing() || why.kind == ErrorKind::Protocol => {
                self.search_on(api, search, Some(&why))
            }
            Err(why) => Err(search.unknown(api, &self.warehouse_id, Some(&why))),
        }
    }

    fn search_on(
        &self,
        api: &Api<'_>,
        mut search: Search,
        why: Option<&Error>,
    ) -> Result<Step<Submitted>, Error> {
        let Some(poll_after_ms) = search.pause() else {
            return Err(search.unknown(api, &self.warehouse_id, why));
        };
        let progress = "the answer to the statement was lost; looking for it in the query history";
        Ok(Step::Waiting(Waiting {
            handle: history::handle(api, &self.warehouse_id),
            poll_after_ms,
            progress: Some(progress.to_owned()),
            emitted: None,
            state: Submitted { statement_id: String::new(), stage: Stage::Lost(search) },
        }))
    }
}
