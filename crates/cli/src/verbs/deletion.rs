//! Deleting what has something below it: the plan is shown, and the name must be typed.

use contract::projects::DeletionPlan;
use serde_json::json;

use crate::api::Api;
use crate::failure::Result;
use crate::input;
use crate::target::Context;

/// `path` is the resource's own; its `deletion-plan` is below it.
pub async fn delete(context: &Context, api: &Api, what: &str, name: &str, path: &str, volumes: bool) -> Result<()> {
    let plan: DeletionPlan = api.get(&format!("{path}/deletion-plan")).await?;
    if !context.globals.yes {
        lines(&plan, what, name, volumes).iter().for_each(|line| context.output.remark(line));
    }
    input::confirm_name(context.output, context.globals.yes, name)?;
    let plan: DeletionPlan = api.delete(&format!("{path}?volumes={volumes}")).await?;
    context.output.answer(&json!({"deleted": name, "plan": plan}), || vec![format!("{name} is being deleted")]);
    Ok(())
}

fn lines(plan: &DeletionPlan, what: &str, name: &str, volumes: bool) -> Vec<String> {
    let mut lines = vec![format!("the {what} {name} will be deleted, with:")];
    let mut add = |what: &str, names: &[String]| {
        if !names.is_empty() {
            lines.push(format!("  {what}: {}", names.join(", ")));
        }
    };
    add("environments", &plan.environments);
    add("services", &plan.services);
    add("domains", &plan.domains);
    add(if volumes { "volumes and their data" } else { "volumes (their data stays on the server; --volumes deletes it)" }, &plan.volumes);
    add("also", &[format!("{} variables and files, {} uploads", plan.variables, plan.uploads)]);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_says_what_happens_to_the_data() {
        let plan = DeletionPlan { services: vec!["web".into()], volumes: vec!["data".into()], variables: 2, ..DeletionPlan::default() };
        let kept = lines(&plan, "project", "shop", false).join("\n");
        assert!(kept.contains("the project shop") && kept.contains("stays on the server") && kept.contains("2 variables"), "{kept}");
        assert!(!kept.contains("environments:"));
        assert!(lines(&plan, "project", "shop", true).join("\n").contains("volumes and their data: data"));
    }
}
