"""The forms of the pages. CSRF protection is the application's."""

from __future__ import annotations

from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from wtforms import PasswordField, RadioField, SelectChoice, SelectField, StringField
from wtforms.validators import EqualTo, InputRequired, Length

from app.aggregator.accounts.service import MAX_DISPLAY_NAME, MAX_PASSWORD, MIN_PASSWORD
from app.aggregator.tables import AccountKind
from crypto.findings import AgeBand

_AGE_BANDS = {
    AgeBand.ADULT: _("18 years or older"),
    AgeBand.ADOLESCENT: _("12 to 17 years"),
    AgeBand.SCHOOL: _("6 to 11 years"),
    AgeBand.PRESCHOOL: _("3 to 5 years"),
    AgeBand.TODDLER: _("1 to 2 years"),
    AgeBand.INFANT: _("1 to 11 months"),
    AgeBand.NEWBORN: _("up to 4 weeks"),
}
"""The age band of the patient; it decides the public default of the heart-rate range."""


def _new_password(label: str) -> PasswordField:
    return PasswordField(
        label,
        validators=[
            InputRequired(_("Please choose a password.")),
            Length(
                MIN_PASSWORD,
                MAX_PASSWORD,
                _(
                    "A password has at least %(least)s characters. A few words in a row are good.",
                    least=MIN_PASSWORD,
                ),
            ),
        ],
        description=_(
            "At least %(least)s characters. A few words in a row are good.", least=MIN_PASSWORD
        ),
        render_kw={"autocomplete": "new-password"},
    )


def _repeated_password(label: str) -> PasswordField:
    return PasswordField(
        label,
        validators=[EqualTo("password", _("The two passwords differ."))],
        render_kw={"autocomplete": "new-password"},
    )


class RegistrationForm(FlaskForm):  # type: ignore[misc]
    """A new account; operators are made by the operator's command."""

    kind = RadioField(
        _("I am"),
        choices=[
            SelectChoice(AccountKind.PATIENT.value, _("a patient")),
            SelectChoice(AccountKind.DOCTOR.value, _("a doctor")),
            SelectChoice(AccountKind.CLINIC.value, _("a clinic")),
        ],
        default=AccountKind.PATIENT.value,
    )
    display_name = StringField(
        _("Your name"),
        validators=[InputRequired(_("Please type your name.")), Length(max=MAX_DISPLAY_NAME)],
        render_kw={"autocomplete": "name"},
    )
    age_band = SelectField(
        _("Age of the patient"),
        choices=[SelectChoice(band.value, text) for band, text in _AGE_BANDS.items()],
        default=AgeBand.ADULT.value,
    )
    password = _new_password(_("Password"))
    repeated = _repeated_password(_("Password again"))


class LoginForm(FlaskForm):  # type: ignore[misc]
    """Login name and password."""

    login = StringField(
        _("Login name"),
        validators=[InputRequired(_("Please type your login name.")), Length(max=64)],
        render_kw={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"},
    )
    password = PasswordField(
        _("Password"),
        validators=[InputRequired(_("Please type your password.")), Length(max=MAX_PASSWORD)],
        render_kw={"autocomplete": "current-password"},
    )


class PasswordForm(FlaskForm):  # type: ignore[misc]
    """Another password for the account that is logged in."""

    present = PasswordField(
        _("Present password"),
        validators=[
            InputRequired(_("Please type your present password.")),
            Length(max=MAX_PASSWORD),
        ],
        render_kw={"autocomplete": "current-password"},
    )
    password = _new_password(_("New password"))
    repeated = _repeated_password(_("New password again"))
