"""Forms out of JSON Schema: their fields, what stands in them, and what somebody meant by it."""
