# The demo's Django site under gunicorn with one sync worker.
FROM python:3.12-slim-bookworm
WORKDIR /srv/demo
COPY deploy/demo/requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY deploy/demo/ .
ENV DEMO_VAR=/var/demo PYTHONUNBUFFERED=1
RUN useradd --system --uid 10001 demo && mkdir -p /var/demo && chown demo /var/demo
USER demo
EXPOSE 8000
CMD ["sh", "-c", "python manage.py migrate --verbosity 0 && python manage.py collectstatic --no-input --verbosity 0 && python manage.py seed && exec gunicorn --bind 0.0.0.0:8000 --workers 1 --worker-class sync --no-control-socket demo.wsgi"]
