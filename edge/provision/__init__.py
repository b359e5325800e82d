"""What an installer does once for a box: give it a key and a place in the cloud."""

from edge.provision.identity import Enrolment, Identity, NotEnrolled, load_identity

__all__ = ["Enrolment", "Identity", "NotEnrolled", "load_identity"]
