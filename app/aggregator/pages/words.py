"""Texts that scripts show, by name: `t("upload.ready")` in JavaScript is `"upload.ready"` here.

`{placeholders}` are filled by the script. A name with `.one` and `.other` is chosen by number.
"""

from __future__ import annotations

from flask_babel import lazy_gettext as _

_WORDS = {
    "common": {
        "copied": _("Copied."),
        "enrolment.begun": _("Making your key and registering it…"),
        "enrolment.done-software": _(
            "This browser now holds your key. Counts can be opened here, and only here."
        ),
        "enrolment.done-passkey": _(
            "Your passkey is registered. Counts can be opened wherever you can use it."
        ),
        "error.passkey-declined": _(
            "The passkey was not used. Try again when you are ready; nothing was changed."
        ),
        "error.passkey-unsuitable": _(
            "This passkey cannot sign in the way that Hushbeat needs (ES256). Keep the key in this "
            "browser instead."
        ),
        "error.passkey-foreign": _("This passkey is not one of this account."),
        "recovery.alarm-asked": _("It waits for people who vouch for it."),
        "recovery.alarm-delay": _("It can be finished from {time} on."),
        "recovery.stopped": _("The recovery was stopped. Your keys stay as they are."),
        "error.log-broken": _(
            "Stop: the key holder's log of your account is not the one that this browser saw "
            "before, or has a gap. Please tell whoever runs Hushbeat for you."
        ),
        "error.key-revoked": _(
            "This browser's key was removed by another of your devices. Load the page again."
        ),
        "error.key-taken": _("This key is in use already or was removed. Please make a new one."),
        "error.problem": _("That did not work ({code}). Nothing was lost; please try again."),
        "error.aggregator-unreachable": _(
            "Hushbeat cannot be reached at the moment. Check the connection and try again."
        ),
        "error.keyholder-unreachable": _(
            "The key holder cannot be reached at the moment. Nothing is lost; try again in a "
            "minute."
        ),
        "error.logged-out": _("You have been logged out. Load the page again to log in."),
        "error.csrf": _("This page is out of date. Load it again and repeat what you did."),
        "error.too-many-attempts": _("Too many attempts. Please wait a minute and try again."),
        "error.too-many-requests": _("Too many requests. Please wait a minute and try again."),
        "error.not-secure": _(
            "This address is not protected, so the browser refuses to encrypt. Use https."
        ),
        "error.old-browser": _(
            "This browser cannot do the encryption that Hushbeat needs (Ed25519 and X25519). "
            "Please use a current Firefox, Chrome, Edge or Safari."
        ),
        "error.no-storage": _(
            "This browser does not let the page keep a key. Leave private browsing and try again."
        ),
        "error.manifest-changed": _(
            "Stop: the key holder's key is not the one that this browser knows. Somebody may be "
            "trying to read along. Nothing was sent or opened. Please tell whoever runs Hushbeat "
            "for you."
        ),
        "error.manifest-unknown": _(
            "The key holder speaks a newer version than this page. Load the page again."
        ),
        "error.bad-key": _("A key that this page received is not valid. Nothing was sent."),
        "error.bad-signature": _("A signature does not fit. Nothing was sent or opened."),
        "error.bad-message": _("An answer could not be understood. Please try again."),
        "error.bad-statement": _(
            "The answer was not about what this page asked for. Nothing was opened."
        ),
        "error.seal-broken": _("A sealed answer could not be opened. Please try again."),
        "error.opening-mismatch": _(
            "The opened counts do not fit the number of recordings, so they are not shown."
        ),
        "error.key-already-pinned": _("This account has another key already. Load the page again."),
        "error.already-enrolled": _("This account has another key already. Load the page again."),
        "error.not-enrolled": _("This browser's key is not registered yet. Load the page again."),
        "error.not-granted": _("The key holder finds no consent for this. Load the page again."),
        "error.too-many-openings": _(
            "Counts were opened too often within an hour. Please try again later."
        ),
    },
    "counts": {
        "counts.of.one": _("of {count} recording"),
        "counts.of.other": _("of {count} recordings"),
        "counts.opened.one": _("Opened {time}: {count} day with recordings."),
        "counts.opened.other": _("Opened {time}: {count} days with recordings."),
        "counts.closed.one": _(
            "{count} day cannot be opened now: the key holder knows of fewer recordings than the "
            "aggregator. Nothing is lost. Please try again later."
        ),
        "counts.closed.other": _(
            "{count} days cannot be opened now: the key holder knows of fewer recordings than the "
            "aggregator. Nothing is lost. Please try again later."
        ),
        "counts.not-now": _("cannot be opened now"),
        "counts.until": _("Earlier, until {day}"),
        "counts.chart": _("Bar chart of the counts a day; the table below says the same."),
    },
    "recordings": {
        "state.waiting": _("Being analysed"),
        "state.counted": _("Counted"),
        "state.unreadable": _("Unreadable: please record again"),
        "state.failed": _("Failed"),
        "reason.too_short": _("It is too short to judge; ten seconds or more are good."),
        "reason.silent": _("It is nearly silent. Was the microphone on the chest?"),
        "reason.clipped": _("It is too loud and distorted. Turn the level down."),
        "reason.noise": _("No heart sound could be told from the noise."),
        "reason.not_audio": _("It is not an audio file that can be read."),
        "reason.unsupported": _("This kind of audio file is not supported."),
        "reason.empty": _("The file holds no sound."),
        "reason.truncated": _("The file is cut off."),
        "reason.bad_header": _("The file says something about itself that is not true."),
        "reason.channels": _("The file has too many channels, or none."),
        "reason.sample_rate": _("The file's sample rate is out of range."),
        "reason.too_long": _("It is longer than two minutes."),
        "reason.not_finite": _("The file holds values that are no sound."),
        "reason.sealed_broken": _("It arrived damaged. Please choose the file and send it again."),
        "reason.quarantined": _(
            "The analysis broke off each time. You can choose the file and send it again."
        ),
        "reason.not_comparable": _("The result could not be counted."),
        "reason.other": _("Reason: {reason}."),
        "upload.reading": _("Reading…"),
        "upload.refused": _("Not usable"),
        "upload.ready": _("Ready to send"),
        "upload.sealing": _("Sealing…"),
        "upload.sending": _("Sending… {percent} %"),
        "upload.delayed": _("Trying again in a moment…"),
        "upload.stopped": _("Not sent"),
        "upload.again": _("You have sent this recording before."),
        "upload.twice": _("{name} is already in the list; it will be sent once."),
        "upload.seconds": _("{seconds} s"),
        "upload.too-long": _("This recording is longer than two minutes and will be refused."),
        "upload.remove-one": _("Remove {name}"),
        "upload.send-one": _("Try again: {name}"),
        "upload.send.one": _("Seal and send {count} recording"),
        "upload.send.other": _("Seal and send {count} recordings"),
        "upload.nothing": _("Nothing left to send"),
        "error.too-many-waiting": _(
            "Too many of your recordings are still being analysed. Please try again later."
        ),
        "error.recording-too-large": _("The file is too large."),
        "error.file-empty": _("The file is empty."),
        "error.file-too-large": _("The file is larger than {megabytes} MB."),
        "error.file-unreadable": _("The browser could not read the file."),
        "error.not-audio": _("This is not a WAV, FLAC, OGG or MP3 recording."),
        "error.cannot-decode": _(
            "This browser cannot show the recording. You may send it all the same."
        ),
    },
    "doctors": {
        "doctors.code-form": _(
            "A doctor code has sixteen letters and digits, like ABCD-EFGH-IJKL-MNOP."
        ),
        "doctors.doctor": _("doctor"),
        "doctors.clinic": _("clinic"),
        "doctors.some-clinic": _("a clinic that you allowed"),
        "doctors.allow-doctor": _("Allow this doctor"),
        "doctors.allow-clinic": _("Allow this clinic"),
        "doctors.consented-counts": _("{name} can now open your counts."),
        "doctors.consented-cohort": _("{name} can now count you in."),
        "doctors.taken-back-doctor": _("{name} can no longer open your counts."),
        "doctors.taken-back-clinic": _("{name} no longer counts you in."),
        "doctors.cohort-fixed": _("on the list, not opened yet"),
        "doctors.cohort-without": _("you were not counted in"),
        "doctors.cohort-plain": _("counted in, without noise"),
        "doctors.cohort-noise": _("counted in with noise; epsilon {epsilon} was spent"),
        "doctors.take-back": _("Take back the consent for {name}"),
        "error.not-found": _(
            "There is no doctor or clinic with this code. Please compare it once more."
        ),
        "error.unknown-doctor": _(
            "The key holder does not know this code as what the page says it is. Nothing was "
            "allowed. Please ask the doctor or clinic."
        ),
        "error.grant-conflict": _(
            "This consent was taken back in the meantime. Please load the page again."
        ),
        "error.doctor-code-mismatch": _(
            "Stop: the key that came with this code is not the doctor's. Nothing was allowed."
        ),
    },
    "patients": {
        "patients.opened.one": _("Counts of {count} patient opened {time}."),
        "patients.opened.other": _("Counts of {count} patients opened {time}."),
        "error.not-found": _("This consent was taken back. Load the page again."),
        "range.default": _("by age"),
        "range.pending": _("being checked"),
        "range.mine": _("set by you"),
        "range.other": _("set by another doctor"),
    },
    "range": {
        "range.default-long": _(
            "No range has been set. Recordings are held against the usual heart rate of the "
            "patient's age and the balanced sound threshold."
        ),
        "range.pending-long": _("A new range is being checked."),
        "range.mine-long": _(
            "A range that you set is in force. It is encrypted; not even this page can read it "
            "back."
        ),
        "range.other-long": _(
            "A range of another doctor is in force. Setting one here replaces it."
        ),
        "range.sealing": _("Encrypting in this browser…"),
        "range.checking": _("Sent. The servers are checking it without reading it…"),
        "range.active": _("The range is in force for every recording from now on."),
        "range.refused": _("The range was not taken: its limits are out of order or out of range."),
        "range.order": _("The upper limit must not be below the lower one."),
        "error.range-order": _("The upper limit must not be below the lower one."),
        "error.range-not-valid": _(
            "The range was not taken: its limits are out of order or out of range."
        ),
        "error.range-waiting": _(
            "The check is taking longer than usual. It goes on; come back to this page later."
        ),
    },
    "keys": {
        "keys.first": _("First key"),
        "keys.unnamed": _("Key without a name"),
        "keys.own": _("This browser."),
        "keys.software": _("A key in a browser or program, since {time}"),
        "keys.passkey": _("A passkey, since {time}"),
        "keys.asks-software": _("asked {time} with a key in a browser or program"),
        "keys.asks-passkey": _("asked {time} with a passkey"),
        "keys.let-in": _("{label} may go in; it finishes by itself."),
        "keys.refused": _("{label} was refused."),
        "keys.remove": _("Remove the key of {label}"),
        "keys.removed": _("The key of {label} was removed and opens nothing any more."),
        "keys.not-let-in": _("This browser was not let in: the request was refused or is too old."),
        "recovery.yes": _("has vouched"),
        "recovery.not-yet": _("not yet"),
        "recovery.approvals": _("Operator: {operator}. Doctors who vouched: {doctors}."),
        "recovery.delay": _(
            "Enough people have vouched for it. It can be finished from {time} on, unless one of "
            "your keys stops it before."
        ),
        "recovery.over": _("The time is over. Finish the recovery now."),
        "error.recovery-over": _(
            "This recovery was stopped by one of your keys, or is finished. Give it up and look at "
            "your keys."
        ),
        "error.recovery-waiting": _("The time is not over yet. Please come back later."),
        "error.too-many-device-requests": _(
            "Too many devices ask to be let in already. Refuse some of them first."
        ),
        "error.too-many-keys": _("Your account has too many keys. Remove some first."),
        "error.not-found": _("That is gone already. Load the page again."),
        "error.own-key": _("A key does not remove itself. Use another device of yours."),
    },
    "log": {
        "log.elsewhere": _("A browser that holds a key of your account can read the log."),
        "log.checked.one": _("{count} entry. It follows from what this browser saw before."),
        "log.checked.other": _(
            "{count} entries. They follow from each other and from what this browser saw before."
        ),
        "log.enrolment": _("The account's first key was taken in"),
        "log.device": _("A further key was taken in"),
        "log.device-removal": _("A key was removed"),
        "log.grant": _("A consent was given"),
        "log.revocation": _("A consent was taken back"),
        "log.recovery-approval": _("Somebody vouched for a recovery"),
        "log.recovery-delay": _("Enough people vouched for a recovery; its delay began"),
        "log.recovery-cancel": _("A recovery was stopped"),
        "log.recovery-completion": _("A recovery was finished; all older keys ended"),
        "log.tally.one": _("Counts of {count} recording were opened"),
        "log.tally.other": _("Counts of {count} recordings were opened"),
        "log.range-check": _("The check of a healthy range was opened"),
        "log.roster": _("The roster of a month was fixed"),
        "log.cohort.one": _("A cohort that counts in {count} recording was opened"),
        "log.cohort.other": _("A cohort that counts in {count} recordings was opened"),
        "log.something": _("Something that this page does not know yet ({kind})"),
        "log.this-key": _("you, with this browser's key"),
        "log.other-key": _("you, with another key"),
        "log.other-patient": _("a doctor or clinic that you allowed"),
        "log.other-doctor": _("somebody else"),
        "log.other-clinic": _("somebody else"),
        "log.operator": _("the operator"),
    },
    "approvals": {
        "approvals.since": _("asked {time}"),
        "approvals.code": _("Code that {name} tells you"),
        "approvals.other-code": _(
            "That is not the code of the new key. Do not vouch unless the person reads out "
            "exactly the right one."
        ),
        "approvals.done": _("You have vouched for it."),
        "approvals.none": _("Nobody asks for a recovery."),
    },
    "clinic": {
        "clinic.chosen.one": _("{count} patient chosen; a roster has at least {least}."),
        "clinic.chosen.other": _("{count} patients chosen; a roster has at least {least}."),
        "clinic.fixed": _("The roster of {month} is fixed."),
        "clinic.open": _("Open once"),
        "clinic.again": _("Show again"),
        "clinic.over": _("The month is over. The figure can be opened, once."),
        "clinic.waits": _("The roster is fixed. The figure can be opened from {time} on."),
        "clinic.opened": _("Opened {time}."),
        "clinic.opened-elsewhere": _(
            "Opened {time}. The figure can be shown in the browser or program that opened it."
        ),
        "clinic.too-small": _(
            "Too few patients of the roster had recordings and still allowed it. This month "
            "stays closed."
        ),
        "clinic.figure": _(
            "{members} patients made {recordings} recordings. {sound} of them sounded abnormal, "
            "and in {rate} the heart rate was outside the healthy range."
        ),
        "clinic.figure-noise": _(
            "{members} patients made {recordings} recordings. About {sound} of them sounded "
            "abnormal, and in about {rate} the heart rate was outside the healthy range (each give "
            "or take {margin})."
        ),
        "clinic.noise": _(
            "With noise of both servers: epsilon {epsilon} was spent on the month of each patient."
        ),
        "clinic.no-noise": _("Without noise."),
        "error.roster-fixed": _("The roster of this month is fixed and cannot be changed."),
        "error.roster-overlap": _(
            "A patient is in another clinic's roster of this month. Leave out:"
        ),
        "error.roster-not-now": _("A roster is fixed before or during its month."),
        "error.not-granted": _("A patient has taken the consent back. Leave out:"),
        "error.cohort-differs": _(
            "The servers do not agree yet on who belongs in it. Please try again in a minute."
        ),
        "error.cohort-too-small": _(
            "Too few patients of the roster had recordings and still allow it."
        ),
        "error.cohort-opened": _("This month was opened in another browser or program."),
        "error.cohort-terms-differ": _(
            "The two servers are set to different noise. Nothing was opened. Please tell whoever "
            "runs Hushbeat for you."
        ),
    },
    "account": {
        "account.key-software": _("This browser holds the key of your account."),
        "account.key-passkey": _("Your passkey is the key of your account."),
        "account.key-elsewhere": _("This browser holds no key of your account."),
    },
}


def words_of(*groups: str) -> dict[str, str]:
    """The texts of `common` and of these groups in the language of the current request."""
    return {
        name: str(text) for group in ("common", *groups) for name, text in _WORDS[group].items()
    }
