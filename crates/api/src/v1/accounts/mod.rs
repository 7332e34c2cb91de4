//! Accounts, sessions, passwords.

use crate::endpoint::Endpoint;

mod cancel_email_change;
mod change_me;
mod change_password;
mod confirm_email_change;
mod delete_me;
mod list_sessions;
mod log_in;
mod log_out;
mod read_me;
mod request_email_change;
mod request_password_reset;
mod resend_verification;
mod reset_password;
mod revoke_other_sessions;
mod revoke_session;
mod sign_up;
mod step_up;
mod verify_email;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        cancel_email_change::endpoint(),
        change_me::endpoint(),
        change_password::endpoint(),
        confirm_email_change::endpoint(),
        delete_me::endpoint(),
        list_sessions::endpoint(),
        log_in::endpoint(),
        log_out::endpoint(),
        read_me::endpoint(),
        request_email_change::endpoint(),
        request_password_reset::endpoint(),
        resend_verification::endpoint(),
        reset_password::endpoint(),
        revoke_other_sessions::endpoint(),
        revoke_session::endpoint(),
        sign_up::endpoint(),
        step_up::endpoint(),
        verify_email::endpoint(),
    ]
}
