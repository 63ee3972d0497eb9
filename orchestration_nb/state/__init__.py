"""What the processes of a workspace must agree on at once, and the private folder that holds it."""

from orchestration_nb.state.folder import FOLDER_NAME, private_folder
from orchestration_nb.state.lock import locked

__all__ = ["FOLDER_NAME", "locked", "private_folder"]
