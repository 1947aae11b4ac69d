//! Values under small numbers that are used again, for what there can be twenty thousand of.

/// Values, each under the number that [`Slab::insert`] gave.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Takes `value` in; gives it back when all numbers are in use.
    pub(super) fn insert(&mut self, value: T) -> Result<u32, T> {
        if let Some(number) = self.free.pop()
            && let Some(place) = self.place(number)
        {
            *place = Some(value);
            return Ok(number);
        }
        match u32::try_from(self.places.len()) {
            Ok(number) => {
                self.places.push(Some(value));
                Ok(number)
            }
            Err(_) => Err(value),
        }
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.place(number)?.as_mut()
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let value = self.place(number)?.take();
        if value.is_some() {
            self.free.push(number);
        }
        value
    }

    pub(super) fn numbers(&self) -> Vec<u32> {
        (0..)
            .zip(&self.places)
            .filter(|(_, place)| place.is_some())
            .map(|(number, _)| number)
            .collect()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().flatten()
    }

    fn place(&mut self, number: u32) -> Option<&mut Option<T>> {
        self.places.get_mut(usize::try_from(number).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again_only_after_it_was_given_up() {
        let mut slab = Slab::new();
        assert_eq!(slab.insert("a"), Ok(0));
        assert_eq!(slab.insert("b"), Ok(1));
        assert_eq!(slab.remove(0), Some("a"));
        assert_eq!(slab.remove(0), None);
        assert_eq!(slab.numbers(), [1]);
        assert_eq!(slab.insert("c"), Ok(0));
        assert_eq!(slab.insert("d"), Ok(2));
        assert_eq!(slab.get_mut(0), Some(&mut "c"));
        assert_eq!(slab.get_mut(9), None);
        assert_eq!(slab.values_mut().count(), 3);
    }
}
