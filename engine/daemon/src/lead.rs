//! Who of several daemons leads.

use std::time::Duration;

use arrowsmith_instance::{Lead, Leader, ProcessIdentity};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Daemon, Result};

/// How long a lead lasts without another word.
const LEASE: Duration = Duration::from_secs(30);

/// A daemon, told apart from all others.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    id: Uuid,
    process: ProcessIdentity,
}

impl Owner {
    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// What a new daemon calls itself.
pub(crate) fn new_owner() -> String {
    let owner = Owner { id: Uuid::now_v7(), process: ProcessIdentity::current() };
    serde_json::to_string(&owner).unwrap_or_else(|_| owner.id.to_string())
}

impl Daemon {
    /// Takes the lead if it is free, or keeps it; whether this daemon leads.
    ///
    /// # Errors
    /// Of the instance; then it does not lead.
    pub async fn lead(&self) -> Result<bool> {
        let now = self.now();
        let until = now + micros(LEASE);
        let ask = || self.shared.instance.lead("daemon", &self.shared.owner, now, until);
        let mut asked = ask().await;
        if let Ok(Lead::Of(other)) = &asked
            && Owner::parse(other).is_some_and(|owner| owner.process.is_gone())
        {
            // Nobody need wait for the end of the lease of a process that is gone.
            self.shared.instance.resign(other).await?;
            asked = ask().await;
        }
        let leader = match &asked {
            Ok(Lead::Own(leader)) => Some(*leader),
            _ => None,
        };
        let mut state = self.state();
        if leader.is_some() != state.leader.is_some() {
            tracing::info!(leads = leader.is_some(), "the lead has changed");
        }
        state.leader = leader.map(|leader| (leader, until));
        asked?;
        Ok(leader.is_some())
    }

    /// Gives the lead back.
    ///
    /// # Errors
    /// Of the instance.
    pub async fn resign(&self) -> Result<()> {
        self.state().leader = None;
        Ok(self.shared.instance.resign(&self.shared.owner).await?)
    }

    /// Whether this daemon leads.
    pub fn leads(&self) -> bool {
        self.leader().is_some()
    }

    /// The lead, while it lasts.
    pub(crate) fn leader(&self) -> Option<Leader> {
        let now = self.now();
        self.state().leader.filter(|(_, until)| now < *until).map(|(leader, _)| leader)
    }
}

pub(crate) fn micros(duration: Duration) -> i64 {
    duration.as_micros().try_into().unwrap_or(i64::MAX)
}
