//! The API from outside: journeys, the permission table, the document, the shape of errors.
//! `SEAWAY_TEST_DATABASE=postgres` runs the same tests on PostgreSQL.
#![expect(clippy::unwrap_used, reason = "tests")]

mod accounts;
mod answers;
mod deployments;
mod document;
mod front;
mod health;
mod limits;
mod many;
mod members;
mod operator;
mod pages;
mod permissions;
mod projects;
mod remembered;
mod services;
mod sight;
mod tokens;
mod tree;
mod variables;
