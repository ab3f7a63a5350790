"""Measure operations, and read what the machine and each of them did."""

import asyncio

from contexten import ContextenApp


async def answer(question: str) -> str:
    await asyncio.sleep(0.02)
    return question.upper()


async def main() -> None:
    app = ContextenApp(name="performance")
    await app.initialize()
    try:
        monitor = app.performance_monitor
        if monitor is None:
            print("ENABLE_PERFORMANCE_MONITORING is off")
            return

        with monitor.start_operation("think"):
            await asyncio.sleep(0.01)
        print(await app.orchestrator.process_with_monitoring("answer", answer, "is main broken?"))

        metrics = await monitor.get_current_metrics()
        print(f"CPU Usage: {metrics['cpu_usage']}%")
        print(f"Memory Usage: {metrics['memory_usage']}%")

        report = await monitor.get_performance_report(hours=24)
        print(f"Average CPU: {report['cpu_usage']['avg']}%")
        print(f"Answers: {report['response_times']['answer']['count']}")

        suggestions = await monitor.optimize_performance()
        for suggestion in suggestions["suggestions"]:
            print(f"- {suggestion['suggestion']}")
    finally:
        await app.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
