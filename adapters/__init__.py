"""Everything that touches the world: Kafka, sockets, files, the terminal."""
