//! Mails about the end of a deployment, to whoever asked for it, or to the owners when Seaway itself did: that it failed, and
//! that the service is well again. A success after a success is no news.

use ::mail::{Commit, Template, Where};
use deployer::protocol::{Built, LogStream};
use domain::deployment::{Failure, Phase};
use domain::id::{TokenId, UserId};
use store::deployments::{DeploymentRow, End};

use crate::error::Result;
use crate::mail::{Addressee, Letter};
use crate::state::Control;

impl Control {
    /// Letters to be posted with the end. A deployment ends also when they cannot be written.
    pub(super) async fn notices(&self, row: &DeploymentRow, phase: Phase, end: &End) -> Vec<Letter> {
        match self.written_notices(row, phase, end).await {
            Ok(letters) => letters,
            Err(error) => {
                tracing::warn!(deployment = %row.id, error = %error, "the mails about the end of a deployment could not be written");
                Vec::new()
            }
        }
    }

    async fn written_notices(&self, row: &DeploymentRow, phase: Phase, end: &End) -> Result<Vec<Letter>> {
        let Some(template) = self.news(row, phase, end).await? else { return Ok(Vec::new()) };
        let mut letters = Vec::new();
        for to in self.concerned(row).await? {
            letters.push(self.letter(&to, Some(row.organization_id), &template).await?);
        }
        Ok(letters)
    }

    async fn news(&self, row: &DeploymentRow, phase: Phase, end: &End) -> Result<Option<Template>> {
        match (phase, &end.failure) {
            (Phase::Failed, Some(failure)) => {
                let (place, row) = self.place(row).await?;
                Ok(Some(self.failed(place, &row, failure).await))
            }
            (Phase::Live, _) => {
                let before = store::deployments::find_outcome_before(&mut self.store().read().await?, row).await?;
                if before.is_none_or(|before| before.phase != Phase::Failed) {
                    return Ok(None);
                }
                let (place, row) = self.place(row).await?;
                let release = match row.release_id {
                    Some(id) => store::releases::find(&mut self.store().read().await?, row.organization_id, id).await?,
                    None => None,
                };
                let release = release.map_or_else(String::new, |release| format!("v{}", release.version));
                let (commit, link) = (commit(&row), self.link_of(&row));
                Ok(Some(Template::DeploymentRecovered { place, commit, release, link }))
            }
            _ => Ok(None),
        }
    }

    async fn failed(&self, place: Where, row: &DeploymentRow, failure: &Failure) -> Template {
        let log_lines = match failure.log_tail.is_empty() {
            true => self.log_tail(LogStream::Deployment(row.id)).await,
            false => failure.log_tail.clone(),
        };
        Template::DeploymentFailed {
            place,
            commit: commit(row),
            phase: crate::word(&failure.step.phase()),
            cause: failure.message.clone(),
            next_step: failure.next_step.clone(),
            log_lines,
            link: self.link_of(row),
        }
    }

    fn link_of(&self, row: &DeploymentRow) -> String {
        self.link(&format!("deployments/{}", row.id))
    }

    /// Where the service is, and the row as it is by now.
    async fn place(&self, row: &DeploymentRow) -> Result<(Where, DeploymentRow)> {
        let facts = self.service_facts(row.organization_id, row.service_id).await?;
        let mut read = self.store().read().await?;
        let project = store::projects::find(&mut read, row.organization_id, facts.service.project_id).await?;
        let row = store::deployments::find_any(&mut read, row.id).await?.unwrap_or_else(|| row.clone());
        let project = project.map_or_else(String::new, |project| project.name);
        Ok((Where { service: facts.service.name, environment: facts.environment.name, project }, row))
    }

    /// Those who get the mail; whoever left the organization does not.
    async fn concerned(&self, row: &DeploymentRow) -> Result<Vec<Addressee>> {
        let mut read = self.store().read().await?;
        let id = row.author_id.as_deref().unwrap_or_default();
        let author = match row.author_kind.as_str() {
            "user" => id.parse::<UserId>().ok(),
            "token" => match id.parse::<TokenId>() {
                Ok(id) => store::tokens::find(&mut read, id).await?.map(|token| token.user_id),
                Err(_) => None,
            },
            _ => None,
        };
        let members = match author {
            Some(user) => store::memberships::find_member(&mut read, row.organization_id, user).await?.into_iter().collect(),
            None => store::memberships::owners(&mut read, row.organization_id).await?,
        };
        Ok(members.into_iter().map(|member| Addressee { user: Some(member.id), email: member.email, name: Some(member.name) }).collect())
    }
}

fn commit(row: &DeploymentRow) -> Option<Commit> {
    let built: Built = serde_json::from_value(row.built.as_ref()?.0.clone()).ok()?;
    Some(Commit { id: built.revision, title: built.commit_subject?, author: built.commit_author.unwrap_or_default() })
}
