"""What tests of more than one part share: real servers, real processes, small keys, faults."""
