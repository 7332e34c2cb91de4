//! Tags of projects.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use crate::failure::Result;
use crate::target::{Context, find, text};

const COLOR_DEFAULT: &str = "#64748b";

#[derive(Debug, Subcommand)]
pub enum TagsVerb {
    /// Tags of the organization
    Ls,
    /// Make a tag
    Create {
        name: String,
        /// #rrggbb
        #[arg(long, default_value = COLOR_DEFAULT)]
        color: String,
    },
    /// Change a tag
    Rename {
        tag: String,
        new_name: String,
        /// #rrggbb; default: the present one
        #[arg(long)]
        color: Option<String>,
    },
    /// Give the project exactly these tags
    Assign { tags: Vec<String> },
    /// Delete a tag
    #[command(visible_alias = "rm")]
    Delete { tag: String },
}

pub async fn run(context: &Context, verb: TagsVerb) -> Result<()> {
    let api = context.api()?;
    let all = format!("/organizations/{}/tags", context.organization(&api).await?);
    let shown = |tags: &[Value]| {
        context.output.table(tags, &["NAME", "COLOR", "ID"], |tag| {
            vec![text(tag, "name").to_owned(), text(tag, "color").to_owned(), text(tag, "id").to_owned()]
        });
    };
    match verb {
        TagsVerb::Ls => shown(&api.all::<Value>(&all).await?),
        TagsVerb::Create { name, color } => super::named::one(context, &api.post(&all, &json!({"name": name, "color": color})).await?),
        TagsVerb::Rename { tag, new_name, color } => {
            let tag = find(&api, &all, "tag", &tag).await?;
            let body = json!({"name": new_name, "color": color.unwrap_or_else(|| text(&tag, "color").to_owned())});
            super::named::one(context, &api.put(&format!("{all}/{}", text(&tag, "id")), &body).await?);
        }
        TagsVerb::Assign { tags } => {
            let mut ids = Vec::new();
            for tag in &tags {
                ids.push(text(&find(&api, &all, "tag", tag).await?, "id").to_owned());
            }
            let project = context.project(&api).await?;
            let assigned: Value = api.put(&format!("/projects/{project}/tags"), &json!({"tags": ids})).await?;
            shown(assigned.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default());
        }
        TagsVerb::Delete { tag } => {
            let found = find(&api, &all, "tag", &tag).await?;
            api.act(Method::DELETE, &format!("{all}/{}", text(&found, "id")), None).await?;
            context.output.answer(&json!({"deleted": tag}), || vec![format!("{tag} is deleted")]);
        }
    }
    Ok(())
}
