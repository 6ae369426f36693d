"""Who is who: the authority, enrolment by token and CSR, renewal, revocation. Routes included."""
