//! One verb, three levels: a project, an environment and a service have variables, and every verb works on each alike.

/// Declares the verb on each level: `on_each_level!(get, "list_", "_variables", "", Permission::VariablesRead)` gives
/// `list_project_variables` at `/projects/{project}/variables`, and so on. What the three share is added with `map`.
macro_rules! on_each_level {
    ($method:ident, $before:literal, $after:literal, $path:literal, $permission:expr) => {
        [
            on_each_level!(@one $method, $before, "project", $after, $path, Project, $permission),
            on_each_level!(@one $method, $before, "environment", $after, $path, Environment, $permission),
            on_each_level!(@one $method, $before, "service", $after, $path, Service, $permission),
        ]
    };
    (@one $method:ident, $before:literal, $level:literal, $after:literal, $path:literal, $kind:ident, $permission:expr) => {
        $crate::endpoint::Endpoint::$method(
            concat!($before, $level, $after),
            concat!("/", $level, "s/{", $level, "}/variables", $path),
            $crate::endpoint::Access::Resource {
                kind: control::access::Kind::$kind,
                parameter: $level,
                permission: $permission,
            },
        )
    };
}

pub(super) use on_each_level;
