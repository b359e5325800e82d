"""A person's browser as far as tests need one: cookies and forms, over HTTP."""

from tests.support.cloud import PASSWORD, Answer, RunningCloud


class Browser:
    """Keeps cookies, and proves by its token that a POST comes from our own page."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud = cloud
        self.cookies: dict[str, str] = {}

    def _headers(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}

    def _keep(self, answer: Answer) -> Answer:
        for line in answer.headers.getall("Set-Cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
        return answer

    async def get(self, path: str, **headers: str) -> Answer:
        return self._keep(await self.cloud.get(path, self._headers() | headers))

    async def post(self, path: str, **form: str) -> Answer:
        token = next((value for name, value in self.cookies.items() if name.endswith("csrf")), "")
        return self._keep(await self.cloud.post(path, {"csrf": token, **form}, self._headers()))

    async def log_in(self, login: str = "wang", password: str = PASSWORD) -> Answer:
        await self.get("/login")
        return await self.post("/login", login=login, password=password)
