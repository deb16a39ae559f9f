"""`/api/recordings`: uploading sealed recordings and following them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, request
from flask_login import current_user
from limits import RateLimitItemPerMinute
from sqlalchemy import select

from app.aggregator.access import account, only
from app.aggregator.blobs import BlobName
from app.aggregator.extensions import limiter
from app.aggregator.recordings import lifecycle, uploads
from app.aggregator.recordings.uploads import Registered, Upload, WaitingLimits
from app.aggregator.services import services
from app.aggregator.tables import AccountKind, Recording, db
from app.common.body_deadline import RequestTimeout
from app.common.problems import InvalidRequest, Problem
from crypto.encoding import check_day, check_id
from crypto.hpke import OVERHEAD_BYTES

recordings = Blueprint("recordings", __name__, url_prefix="/api/recordings")

_CHUNK_BYTES = 65_536
_MOST_LISTED = 500
_MOST_ASKED_FOR = 200
_UPLOADS_PER_MINUTE = 600


class LengthRequired(Problem):
    """An upload without Content-Length."""

    slug = "length-required"
    title = "The length of the upload is not known"
    status = 411


class RecordingTooLarge(Problem):
    """An upload over the size limit."""

    slug = "recording-too-large"
    title = "The recording is too large"
    status = 413


class ShortUpload(Problem):
    """The connection ended before everything had arrived."""

    slug = "short-upload"
    title = "The upload was cut off"
    status = 400


class TooManyUploads(Problem):
    """More uploads of one account within a minute than anybody needs."""

    slug = "too-many-requests"
    title = "Too many uploads"
    status = 429
    retry_after = 10


@recordings.put("/<recording_id>")
@only(AccountKind.PATIENT)
def upload(recording_id: str) -> tuple[dict[str, Any], int]:
    check_id(recording_id)
    day = _day_of_recording()
    length = _length()
    owner = account()
    _count_upload(owner.id)
    known = db.session.get(Recording, recording_id)
    account_id, pseudonym = owner.id, owner.collector
    stored = known is None or uploads.takes_again(known, account_id)
    if stored:
        uploads.check_limits(account_id, length, _waiting_limits())
    # No transaction stays open while somebody's slow line delivers the bytes.
    db.session.rollback()

    def described(sealed_sha256: str) -> Upload:
        return Upload(recording_id, account_id, pseudonym, day, sealed_sha256, length)

    registered = _store(length, described) if stored else _register(described(_hash(length)))
    if registered.created:
        services().queue.judge(recording_id)
    shown = {"recording": recording_id, "day": registered.day, "state": registered.state.value}
    return shown, 201 if registered.created else 200


@recordings.get("")
@only(AccountKind.PATIENT)
def listed() -> dict[str, Any]:
    query = (
        select(Recording)
        .where(Recording.account_id == account().id)
        .order_by(Recording.uploaded_at.desc(), Recording.id)
        .limit(_MOST_LISTED)
    )
    if "ids" in request.args:
        ids = [check_id(one) for one in request.args["ids"].split(",") if one]
        if len(ids) > _MOST_ASKED_FOR:
            raise InvalidRequest(f"Ask for at most {_MOST_ASKED_FOR} recordings at once.")
        query = query.where(Recording.id.in_(ids))
    return {
        "recordings": [
            {
                "recording": row.id,
                "day": row.day,
                "state": row.state,
                "reason": row.reason,
                "uploaded_at": row.uploaded_at,
            }
            for row in db.session.scalars(query)
        ]
    }


@recordings.after_request
def take_the_rest(response: Response) -> Response:
    """Reads what a refused client is still sending: if the connection closed on it, the refusal
    would be lost and the client would try again. A stranger is not listened to."""
    if (
        request.method == "PUT"
        and response.status_code >= 400
        and response.status_code != RequestTimeout.status
        and current_user.is_authenticated
    ):
        left = min(request.content_length or 0, _largest())
        with suppress(RequestTimeout):
            while left > 0 and (
                chunk := request.environ["wsgi.input"].read(min(left, _CHUNK_BYTES))
            ):
                left -= len(chunk)
    return response


def _store(length: int, described: Any) -> Registered:
    """Streams the body into the blob store, then makes the row: never a row without its blob."""
    digest = hashlib.sha256()
    blobs = services().blobs
    with blobs.writer() as writer:
        for chunk in _body(length):
            digest.update(chunk)
            writer.write(chunk)
        new: Upload = described(digest.hexdigest())
        name = BlobName(new.recording, new.sealed_sha256)
        writer.keep(name)
    try:
        registered = _register(new)
    except (uploads.RecordingExists, uploads.TooManyWaiting):
        blobs.delete(name)
        raise
    if registered.state not in lifecycle.WAITING_STATES:
        blobs.delete(name)
    return registered


def _register(new: Upload) -> Registered:
    return uploads.register_upload(new, int(time.time()), _waiting_limits())


def _count_upload(account_id: int) -> None:
    """Raises TooManyUploads from the first one too many on."""
    try:
        counted = limiter.limiter.hit(
            RateLimitItemPerMinute(_UPLOADS_PER_MINUTE), "upload", str(account_id)
        )
    except limiter.storage.base_exceptions:
        return  # what may wait is limited all the same
    if not counted:
        raise TooManyUploads("Wait a moment and go on.")


def _waiting_limits() -> WaitingLimits:
    config = services().config
    return WaitingLimits(config.max_waiting_recordings, config.max_waiting_bytes)


def _hash(length: int) -> str:
    digest = hashlib.sha256()
    for chunk in _body(length):
        digest.update(chunk)
    return digest.hexdigest()


def _body(length: int) -> Iterator[bytes]:
    """Exactly `length` bytes of the request's body. Raises ShortUpload."""
    left = length
    while left:
        chunk = request.stream.read(min(left, _CHUNK_BYTES))
        if not chunk:
            raise ShortUpload("Send the recording again.")
        left -= len(chunk)
        yield chunk


def _length() -> int:
    largest = _largest()
    if request.content_length is None:
        raise LengthRequired("Send Content-Length.")
    if request.content_length > largest:
        raise RecordingTooLarge(f"A sealed recording has at most {largest} bytes.", limit=largest)
    if request.content_length <= OVERHEAD_BYTES:
        raise InvalidRequest("This is too short to be a sealed recording.")
    request.max_content_length = largest
    return request.content_length


def _largest() -> int:
    return services().config.max_upload_bytes + OVERHEAD_BYTES


def _day_of_recording() -> str:
    """The day of the query; it may be tomorrow, for somebody east of Greenwich."""
    day = check_day(request.args.get("day"))
    if date.fromisoformat(day) > datetime.now(UTC).date() + timedelta(days=1):
        raise InvalidRequest("This day has not come yet: check the clock.")
    return day
