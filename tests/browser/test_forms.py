"""The forms in this process, where a warning of their library is an error."""

from __future__ import annotations

import pytest
from flask import Flask
from flask_babel import Babel

from app.aggregator.accounts.service import MIN_PASSWORD
from app.aggregator.pages.forms import LoginForm, RegistrationForm

FILLED = {"kind": "patient", "display_name": "Patient A", "age_band": "adult"}


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="only for this test", WTF_CSRF_ENABLED=False)
    Babel(app)
    return app


@pytest.mark.parametrize("length", [MIN_PASSWORD - 1, MIN_PASSWORD])
def test_the_form_says_what_the_account_asks_for(app: Flask, length: int) -> None:
    password = "x" * length
    sent = FILLED | {"password": password, "repeated": password}
    with app.test_request_context("/register", method="POST", data=sent):
        form = RegistrationForm()
        assert form.validate() == (length == MIN_PASSWORD)
        for text in (form.password.description, *form.password.errors):
            assert f"t least {MIN_PASSWORD} characters" in text


def test_forms_are_made_without_a_warning(app: Flask) -> None:
    with app.test_request_context("/register"):
        form = RegistrationForm()
        assert [choice.data for choice in form.kind] == ["patient", "doctor", "clinic"]
        assert 'value="newborn"' in form.age_band()
        assert "username" in LoginForm().login()
