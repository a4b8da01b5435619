"""From messages of the contract to commands of the domain, and from outcomes to answers."""
