//! Tags: coloured words on projects.

use contract::Code;
use contract::tags::{AssignTags, BulkTags, Tag, Tags, WriteTag};
use domain::id::{ProjectId, TagId};
use domain::permission::Permission;
use store::tags::TagRow;

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

const NAME_LENGTH_MAX: usize = 40;
/// Projects that are tagged at once.
const BULK_PROJECTS_MAX: usize = 200;
/// Tags of an organization.
const TAGS_MAX: usize = 100;

impl Control {
    pub async fn list_tags(&self, actor: &Actor) -> Result<Tags> {
        actor.require(Permission::ProjectsRead)?;
        let rows = store::tags::all(&mut self.store().read().await?, actor.organization).await?;
        Ok(Tags { data: rows.into_iter().map(shown).collect() })
    }

    pub async fn create_tag(&self, actor: &Actor, wanted: WriteTag) -> Result<Tag> {
        actor.require(Permission::ProjectsWrite)?;
        check(&wanted)?;
        let mut write = self.store().write().await?;
        let count = store::tags::all(&mut write, actor.organization).await?.len();
        if count >= TAGS_MAX {
            return Err(ControlError::Limit { name: "tags", current: count as u64, max: TAGS_MAX as u64 });
        }
        let row = TagRow {
            id: TagId::new(self.clock(), self.entropy()),
            organization_id: actor.organization,
            name: wanted.name.trim().to_owned(),
            color: wanted.color,
            created_at: self.clock().now(),
        };
        store::tags::insert(&mut write, &row).await.map_err(taken)?;
        self.record(actor, "tag.created").resource("tag", row.id, Some(&row.name)).append(&mut write).await?;
        write.commit().await?;
        Ok(shown(row))
    }

    pub async fn update_tag(&self, actor: &Actor, id: &str, wanted: WriteTag) -> Result<Tag> {
        actor.require(Permission::ProjectsWrite)?;
        check(&wanted)?;
        let id: TagId = id.parse().map_err(|_| ControlError::NotFound("tag"))?;
        let mut write = self.store().write().await?;
        let mut row = store::tags::find(&mut write, actor.organization, id).await?.ok_or(ControlError::NotFound("tag"))?;
        row.name = wanted.name.trim().to_owned();
        row.color = wanted.color;
        store::tags::update(&mut write, &row).await.map_err(taken)?;
        self.record(actor, "tag.updated").resource("tag", id, Some(&row.name)).append(&mut write).await?;
        write.commit().await?;
        Ok(shown(row))
    }

    pub async fn delete_tag(&self, actor: &Actor, id: &str) -> Result<()> {
        actor.require(Permission::ProjectsWrite)?;
        let id: TagId = id.parse().map_err(|_| ControlError::NotFound("tag"))?;
        let mut write = self.store().write().await?;
        store::tags::delete(&mut write, actor.organization, id).await?;
        self.record(actor, "tag.deleted").resource("tag", id, None).append(&mut write).await?;
        write.commit().await?;
        Ok(())
    }

    /// Gives a project exactly these tags.
    pub async fn assign_tags(&self, actor: &Actor, wanted: AssignTags) -> Result<Tags> {
        actor.require(Permission::ProjectsWrite)?;
        let project: ProjectId = actor.located.project.ok_or(ControlError::NotFound("project"))?;
        let mut write = self.store().write().await?;
        let known = store::tags::all(&mut write, actor.organization).await?;
        if let Some(place) = wanted.tags.iter().position(|id| !known.iter().any(|tag| tag.id == *id)) {
            return Err(ControlError::invalid(format!("/tags/{place}"), "not-found", "the organization has no such tag"));
        }
        for tag in &known {
            if wanted.tags.contains(&tag.id) {
                store::tags::assign(&mut write, actor.organization, project, tag.id).await?;
            } else {
                store::tags::unassign(&mut write, actor.organization, project, tag.id).await?;
            }
        }
        self.record(actor, "project.tagged").resource("project", project, None).append(&mut write).await?;
        write.commit().await?;
        Ok(Tags { data: known.into_iter().filter(|tag| wanted.tags.contains(&tag.id)).map(shown).collect() })
    }

    /// Puts tags on many projects and takes others off, all or nothing.
    ///
    /// # Errors
    /// `invalid` at the place of what is not there, or not seen.
    pub async fn assign_tags_to_many(&self, actor: &Actor, wanted: BulkTags) -> Result<()> {
        actor.require(Permission::ProjectsWrite)?;
        if wanted.projects.is_empty() || wanted.projects.len() > BULK_PROJECTS_MAX {
            return Err(ControlError::invalid("/projects", "length", format!("1 to {BULK_PROJECTS_MAX} projects")));
        }
        let mut write = self.store().write().await?;
        let known = store::tags::all(&mut write, actor.organization).await?;
        for (name, list) in [("add", &wanted.add), ("remove", &wanted.remove)] {
            if let Some(place) = list.iter().position(|id| !known.iter().any(|tag| tag.id == *id)) {
                return Err(ControlError::invalid(format!("/{name}/{place}"), "not-found", "the organization has no such tag"));
            }
        }
        for (place, project) in wanted.projects.iter().enumerate() {
            let row = store::projects::find(&mut write, actor.organization, *project).await?;
            let row = row.filter(|row| actor.sight.project(row.id)).ok_or_else(|| {
                ControlError::invalid(format!("/projects/{place}"), "not-found", "there is no such project, or you have no access to it")
            })?;
            for tag in &wanted.add {
                store::tags::assign(&mut write, actor.organization, row.id, *tag).await?;
            }
            for tag in &wanted.remove {
                store::tags::unassign(&mut write, actor.organization, row.id, *tag).await?;
            }
            self.record(actor, "project.tagged").resource("project", row.id, Some(&row.name)).append(&mut write).await?;
        }
        write.commit().await?;
        Ok(())
    }
}

fn shown(row: TagRow) -> Tag {
    Tag { id: row.id, name: row.name, color: row.color }
}

fn check(wanted: &WriteTag) -> Result<()> {
    let name = wanted.name.trim();
    if name.is_empty() || name.chars().count() > NAME_LENGTH_MAX || name.chars().any(char::is_control) {
        return Err(ControlError::invalid("/name", "invalid", format!("1 to {NAME_LENGTH_MAX} visible characters")));
    }
    let color = wanted.color.strip_prefix('#').unwrap_or_default();
    if color.len() != 6 || !color.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ControlError::invalid("/color", "invalid", "a color is # and six hexadecimal digits, for example #0b7285"));
    }
    Ok(())
}

fn taken(error: store::StoreError) -> ControlError {
    if error.is_conflict_of("tags_name") {
        return ControlError::refused(Code::NameTaken, "The organization has a tag of this name. Choose another name.");
    }
    error.into()
}
