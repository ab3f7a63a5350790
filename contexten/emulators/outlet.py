"""Where an emulator sends its deliveries."""

from dataclasses import dataclass

from contexten.emulators.deliveries import Delivery
from contexten.emulators.sender import Sender, Sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """A sender and the address that its deliveries go to."""

    sender: Sender
    url: str

    def send(self, delivery: Delivery) -> Sent:
        return self.sender.send(delivery, self.url)
