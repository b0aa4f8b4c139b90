"""Kafka: topics, confirmed publishing, the Faust agents, the embedded broker."""
