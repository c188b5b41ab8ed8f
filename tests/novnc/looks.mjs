// What cases look at.

/**
 * Waits until the canvas equals what the X server shows, pixel by pixel, and that is another picture than
 * `before`; returns it.
 */
export async function same(stage, desktop, page, what, before = []) {
    const differences = (one, other) => one.filter((pixel, index) => pixel !== other[index]).length;
    let wrong;
    try {
        return await stage.until(`canvas with ${what}`, async () => {
            const [shown, wanted] = [await page.picture(), desktop.picture()];
            wrong = differences(wanted, shown);
            return wrong === 0 && differences(wanted, before) > 0 && shown;
        });
    } catch (error) {
        throw new Error(`${error.message} (${wrong} pixels differ from the X server's)`);
    }
}

export function expect(holds, complaint) {
    if (!holds) throw new Error(complaint);
}
