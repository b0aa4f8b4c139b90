"""A worker in a process of its own, for tests that kill it: copies SOURCE to TARGET, slowly if asked.

``python worker.py SETTINGS-JSON [--seconds S] [--block-loop]``; says ``ready`` and each value it begins on.
"""

import argparse
import asyncio
import logging
import sys
import time

from adapters.kafka.publisher import KafkaPublisher
from adapters.kafka.run import readers_of, run_stages
from engine.settings import Kafka
from kafka.support import Stage


def say(text):
    print(text, flush=True)


async def work(kafka, seconds, *, block_loop):
    async def act(record):
        say(record.value.decode())
        if block_loop:
            time.sleep(seconds)  # noqa: ASYNC251 - that is the fault to be shown
        else:
            await asyncio.sleep(seconds)

    stages = [Stage(act)]
    async with KafkaPublisher(kafka, readers_of(kafka, stages)) as publisher:
        return await run_stages(stages, kafka, publisher=publisher, on_ready=lambda: say("ready"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("settings")
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--block-loop", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    kafka = Kafka.model_validate_json(arguments.settings)
    sys.exit(asyncio.run(work(kafka, arguments.seconds, block_loop=arguments.block_loop)))


if __name__ == "__main__":
    main()
