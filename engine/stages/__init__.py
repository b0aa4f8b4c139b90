"""The steps between topics, free of Kafka: records in, publications out."""
