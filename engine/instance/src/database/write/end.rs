//! Attempts, steps and runs that end.

use arrowsmith_io_manager::Version;

use super::super::read::in_use;
use super::{Transaction, encode, text};
use crate::request::Reply;
use crate::{EndAttempt, EndRun, EndStep, Result, RunId, StepState, TimeMicros};

impl Transaction<'_> {
    pub(super) async fn end_attempt(&mut self, end: &EndAttempt) -> Result<()> {
        let ended = self.script.change(
            self.connection,
            "update attempts set status = $1, ended_at = $2, error = $3
             where attempt_id = $4 and status = 'running'",
            [text(&end.status), text(&end.at), text(&end.reason), text(&end.attempt_id)],
        );
        if ended.await? == 0 {
            // Somebody has ended it already, and with it its step.
            return Ok(());
        }
        self.set_step(end.run_id, &end.step_key, end.state, &end.reason, end.at).await?;
        self.tell(end.run_id, Some(&end.step_key), None, end.at, &end.event)
    }

    pub(super) async fn end_steps(&mut self, ends: &[EndStep]) -> Result<()> {
        for end in ends {
            let ended = self.set_step(end.run_id, &end.step_key, end.state, &end.reason, end.at);
            if ended.await? {
                self.tell(end.run_id, Some(&end.step_key), None, end.at, &end.event())?;
            }
        }
        Ok(())
    }

    /// Sets the state of a step that has not ended yet; a publish that was on its way when its
    /// step was given up has ended it truthfully.
    async fn set_step(
        &mut self,
        run_id: RunId,
        step_key: &str,
        state: StepState,
        reason: &str,
        at: TimeMicros,
    ) -> Result<bool> {
        let ended = self.script.change(
            self.connection,
            "update steps set state = $1, reason = $2, ended_at = $3
             where run_id = $4 and step_key = $5
               and state in ('planned', 'running', 'up_for_retry')",
            [text(&state), text(&reason), text(&at), text(&run_id), text(&step_key)],
        );
        Ok(ended.await? > 0)
    }

    /// Ends the run, its running attempts and its open steps; a run that has ended stays as it is.
    pub(super) async fn end_run(&mut self, end: &EndRun) -> Result<()> {
        let run_id = text(&end.run_id);
        let ended = self.script.change(
            self.connection,
            "update runs set status = $1, ended_at = $2, error = $3, crashed = $5
             where run_id = $4 and status in ('queued', 'starting', 'started')",
            [
                text(&end.status),
                text(&end.at),
                end.error.clone(),
                run_id.clone(),
                text(&u8::from(end.crashed)),
            ],
        );
        if ended.await? == 0 {
            return Ok(());
        }
        let reason = Some(end.error.clone().unwrap_or_default());
        let (attempt, state) = end.states();
        self.script.add(
            "update attempts set status = $1, ended_at = $2, error = $3
             where run_id = $4 and status = 'running'",
            [text(&attempt), text(&end.at), reason.clone(), run_id.clone()],
        );
        self.script.add(
            "update steps set reason = $1, ended_at = $2,
               state = case state when 'planned' then 'canceled' else $3 end
             where run_id = $4 and state in ('planned', 'running', 'up_for_retry')",
            [reason, text(&end.at), text(&state), run_id.clone()],
        );
        self.script.add("delete from pins where run_id = $1", [run_id.clone()]);
        self.script.add("delete from slots where run_id = $1", [run_id]);
        self.tell(end.run_id, None, None, end.at, &end.event())
    }

    /// Marks versions as removed, but for those that are in use by now; returns which are.
    pub(super) async fn condemn(&mut self, versions: &[Version], at: TimeMicros) -> Result<Reply> {
        let free = concat!(
            "select json_group_array(atom) from json_each($1) where atom not in (",
            in_use!(),
            ")"
        );
        let of = [Some(encode(&versions)?)];
        let free: Vec<Version> = self.script.ask(self.connection, free, of).await?;
        self.script.add(
            "update versions set removed_at = $1
             where version_id in (select atom from json_each($2))",
            [text(&at), Some(encode(&free)?)],
        );
        Ok(Reply::Condemned(free))
    }
}
