//! The part of an organization that a member or token sees. Lists and counters filter by it inside the query, before any limit.

use std::collections::BTreeSet;

use domain::id::{EnvironmentId, Id, ProjectId, ServiceId};
use serde::{Deserialize, Serialize};

use crate::{Bind, Filter, Parameter};

/// Three lists that narrow each other; `None`: all. Whoever lists services lists their environments too, and so on upwards
/// (the use cases see to it), so that each list can be asked by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    pub projects: Option<BTreeSet<ProjectId>>,
    pub environments: Option<BTreeSet<EnvironmentId>>,
    pub services: Option<BTreeSet<ServiceId>>,
}

fn holds<T: Ord>(list: Option<&BTreeSet<T>>, one: &T) -> bool {
    list.is_none_or(|list| list.contains(one))
}

fn parameters<T: Copy + Id>(list: Option<&BTreeSet<T>>) -> Option<Vec<Parameter>> {
    list.map(|list| list.iter().map(|id| id.uuid().parameter()).collect())
}

impl Sight {
    /// Sees the whole organization.
    pub fn is_all(&self) -> bool {
        self.projects.is_none() && self.environments.is_none() && self.services.is_none()
    }

    pub fn project(&self, project: ProjectId) -> bool {
        holds(self.projects.as_ref(), &project)
    }

    pub fn environment(&self, project: ProjectId, environment: EnvironmentId) -> bool {
        self.project(project) && holds(self.environments.as_ref(), &environment)
    }

    pub fn service(&self, project: ProjectId, environment: EnvironmentId, service: ServiceId) -> bool {
        self.environment(project, environment) && holds(self.services.as_ref(), &service)
    }

    /// Rows of a table of projects: `id`.
    #[must_use]
    pub fn of_projects(&self, filter: Filter) -> Filter {
        filter.and_in("id", parameters(self.projects.as_ref()))
    }

    /// Rows with `id` and `project_id`.
    #[must_use]
    pub fn of_environments(&self, filter: Filter) -> Filter {
        filter.and_in("project_id", parameters(self.projects.as_ref())).and_in("id", parameters(self.environments.as_ref()))
    }

    /// Rows with `id`, `environment_id` and `project_id`.
    #[must_use]
    pub fn of_services(&self, filter: Filter) -> Filter {
        filter
            .and_in("project_id", parameters(self.projects.as_ref()))
            .and_in("environment_id", parameters(self.environments.as_ref()))
            .and_in("id", parameters(self.services.as_ref()))
    }

    /// Rows with a `service_id`.
    #[must_use]
    pub fn of_things_of_services(&self, filter: Filter) -> Filter {
        if self.is_all() {
            return filter;
        }
        filter.and_within("service_id IN (SELECT id FROM services", |inner| self.of_services(inner), ")")
    }

    /// Rows of a search: `kind`, `id`, `project_id`, `environment_id`.
    #[must_use]
    pub fn of_found(&self, filter: Filter) -> Filter {
        let filter = filter.and_in("project_id", parameters(self.projects.as_ref()));
        let filter = match parameters(self.environments.as_ref()) {
            None => filter,
            some => filter.and_within(
                "kind = 'project' OR environment_id IN (SELECT id FROM environments",
                |inner| inner.and_in("id", some),
                ")",
            ),
        };
        match parameters(self.services.as_ref()) {
            None => filter,
            some => filter.and_within("kind <> 'service' OR id IN (SELECT id FROM services", |inner| inner.and_in("id", some), ")"),
        }
    }
}
