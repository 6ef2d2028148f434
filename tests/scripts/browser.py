"""Opens pages in headless Chromium as a person would, and notes their errors and requests."""

import contextlib
import json
import pathlib
import time

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select
except ImportError:
    webdriver = None

CHROMIUM = pathlib.Path("/usr/bin/chromium")
DRIVER = pathlib.Path("/usr/bin/chromedriver")
ARGUMENTS = ["--headless=new", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync",
             # Chromium refuses its sandbox to root, and /dev/shm is small in containers. The pages are our own.
             "--no-sandbox", "--disable-dev-shm-usage"]
PATIENCE_S = 20
# Else Chromium loads a start page of its own, which takes longer than the page under test.
EMPTY_START_PAGE = {"session.restore_on_startup": 4, "session.startup_urls": ["about:blank"]}


def missing():
    """One line with the packages to install, or "" where the browser can be driven."""
    there = {"chromium": CHROMIUM.exists(), "chromium-driver": DRIVER.exists(), "python3-selenium": webdriver is not None}
    packages = [name for name, found in there.items() if not found]
    return f"no browser to test pages in: apt-get install {' '.join(packages)}, and run with /usr/bin/python3" if packages else ""


class Page:
    """A page that is open in a tab."""

    def __init__(self, driver, url):
        self.driver = driver
        self.url = url

    def run(self, script, *arguments):
        """The result of a function with this body; of a promise, its value. It runs also where the page's own scripts do not."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector):
        """The first element. Raises NoSuchElementException."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def count(self, selector):
        return len(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def button(self, name):
        """The first button of the last table whose accessible name begins with `name`."""
        table = self.driver.find_elements(By.TAG_NAME, "table")[-1]
        return next(button for button in table.find_elements(By.TAG_NAME, "button") if button.accessible_name.startswith(name))

    def switch(self, selector, on):
        """Clicks a checkbox or radio button, which is then on, or off."""
        box = self.find(selector)
        assert box.is_selected() != on, f"{selector} is that already"
        box.click()
        assert box.is_selected() == on, f"a click does not switch {selector}"

    def show(self, scheme="light", width=1280, height=900):
        """Shows the page on a system of that colour scheme, in a window of that size."""
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                    {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})

    def press(self, *keys):
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def _console(self):
        """What stands on the console since the last call. It gets there late on a busy machine: a line of our own is waited for."""
        mark, entries = f"read at {time.monotonic_ns()}", []
        self.driver.execute_script("console.log(arguments[0])", mark)
        until = time.monotonic() + PATIENCE_S
        while not any(mark in entry["message"] for entry in entries):
            assert time.monotonic() < until, "the console says nothing"
            entries += self.driver.get_log("browser")
        return entries

    def noted(self):
        """Since the last call: errors and warnings on the console, exceptions that nothing caught, and requests other than that for
        the page itself."""
        noted = [entry["message"] for entry in self._console() if entry["level"] in ("SEVERE", "WARNING")]
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent" and not event["params"]["request"]["url"].startswith("data:"):
                noted.append(f"request: {event['params']['request']['url']}")
        if f"request: {self.url}" in noted:
            noted.remove(f"request: {self.url}")
        return noted


class Browser:
    """A Chromium process, for many pages, until close()."""

    def __init__(self, profile):
        """Starts it. What it keeps goes to the empty folder `profile`."""
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for argument in [*ARGUMENTS, f"--user-data-dir={profile}"]:
            options.add_argument(argument)
        options.add_experimental_option("prefs", EMPTY_START_PAGE)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        options.add_experimental_option("perfLoggingPrefs", {"enablePage": False})
        # Without a path, Selenium would look for a driver on the network.
        self.driver = webdriver.Chrome(service=Service(str(DRIVER)), options=options)

    def close(self):
        self.driver.quit()

    @contextlib.contextmanager
    def page(self, path, script=True, **how):
        """Opens the page at `path` in a tab of its own, and closes it at the end of the `with`. Page.show() has the options. Without
        `script`, the page's scripts do not run. Raises AssertionError if something was noted of the page by then."""
        self.driver.switch_to.new_window("tab")
        try:
            page = Page(self.driver, path.as_uri())
            page.noted()
            page.show(**how)
            self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
            self.driver.get(page.url)
            yield page
            assert page.noted() == []
        finally:
            self.driver.close()
            self.driver.switch_to.window(self.driver.window_handles[0])
