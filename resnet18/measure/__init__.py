"""What a run costs and where it ran: clock, memory, environment, devices."""
