"""What the page does when a user gives a picture or moves the threshold."""

import hashlib
import html
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mmsparseswin.demo import pictures
from mmsparseswin.demo.models import Look, Models
from mmsparseswin.demo.uploads import check_picture, keep_own
from mmsparseswin.easy import Result, Results


@dataclass(frozen=True)
class Shown:
    """What one user looks at: a picture in a folder of the session's own, and what a model found on it."""

    model: str
    path: Path
    result: Result


class Actions:
    """The functions behind the page; they get what the session shows, and keep nothing of it.

    Args:
        models: of the page.
        folder: for files of sessions; each session has a folder of its own in it.
    """

    def __init__(self, models: Models, folder: Path) -> None:
        self.models, self._folder = models, folder

    def own_folder(self, session: str | None) -> Path:
        """Return the folder of a session; its name is made of the session's, which a browser chose."""
        return self._folder / 'sessions' / hashlib.sha256(str(session).encode()).hexdigest()[:32]

    def forget(self, session: str | None) -> None:
        """Delete the files of a session."""
        shutil.rmtree(self.own_folder(session), ignore_errors=True)

    def predict(self, given: Path, model: str, session: str | None) -> Shown:
        """Run a model on a picture.

        Raises:
            InputError: no picture, or one that is too large.
        """
        check_picture(given)
        path = keep_own(given, self.own_folder(session))
        return Shown(model, path, self.models.predict(model, path))

    def draw(self, shown: Shown, score: float, session: str | None) -> tuple[Image.Image, str, Path]:
        """Return the picture with what scores at least `score`, a table of it, and the JSON file; no model runs."""
        result = shown.result.above(score)
        content = json.dumps(Results([result]).to_coco()).encode()
        found = self.own_folder(session) / 'found'
        shutil.rmtree(found, ignore_errors=True)
        file = found / hashlib.sha256(content).hexdigest()[:16] / 'predictions.json'  # browsers remember a name
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        return pictures.draw_result(result), _table(result, len(shown.result)), file

    def look(self, shown: Shown) -> Look:
        """Return what the model looks at.

        Raises:
            InputError: a model without a backbone of ours.
        """
        return self.models.look(shown.model, shown.path)


def _table(result: Result, of: int) -> str:
    """Return the objects as an HTML table, the surest first."""
    names = [html.escape(result.classes[label]) for label in result.labels]
    if result.boxes is None:
        return f'<p>{names[0]}: {100 * float(result.scores[0]):.1f} %</p>'
    rows = [
        f'<tr><td>{names[index]}</td><td>{result.scores[index]:.2f}</td>'
        f'<td>{" x ".join(f"{side:.0f}" for side in result.boxes[index, 2:] - result.boxes[index, :2])}</td></tr>'
        for index in sorted(range(len(result)), key=lambda index: -result.scores[index])
    ]
    if not rows:
        return f'<p>No object scores so much; {of} score less. Move the threshold down to see them.</p>'
    head = '<thead><tr><th>object</th><th>score</th><th>width x height</th></tr></thead>'
    return f'<p>{len(rows)} of {of} objects</p><table class="found">{head}<tbody>{"".join(rows)}</tbody></table>'
