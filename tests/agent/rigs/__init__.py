"""Programs that tests run as processes of their own, to be killed, frozen or cut off."""
